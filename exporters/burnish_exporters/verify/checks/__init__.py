"""Verifiers: each decides from one kind of evidence whether a run succeeded."""
