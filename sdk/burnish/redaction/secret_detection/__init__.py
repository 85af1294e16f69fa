"""Secrets in text: published forms of tokens, assignments, tables, telling names."""
