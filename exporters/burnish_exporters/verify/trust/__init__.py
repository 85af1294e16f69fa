"""Measure verifiers against labels, and store the results beside the runs."""
