"""Measures verifiers against labels, and keeps the figures beside the runs."""
