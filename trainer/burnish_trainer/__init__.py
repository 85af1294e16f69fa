"""Datasets become adapters that are proven on held-out tasks."""
