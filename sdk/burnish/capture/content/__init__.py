"""Encode messages, tool lists and values as bytes that are named by their hash."""
