"""Verifiers: each decides by one kind of evidence whether a run succeeded."""
