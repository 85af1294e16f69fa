"""Agents polished by their own runs: trace, verify, train, swap."""
