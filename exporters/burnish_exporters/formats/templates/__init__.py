"""Render chat templates, and find the formats that they read."""
