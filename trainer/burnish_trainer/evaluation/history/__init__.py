"""The stored evaluations of an agent: each `evaluate` leaves one, which reports and arms read.

    home/evaluations/results/eval-support-0a1b2c3d4e5f.json

The name is a hash of what was measured, so repeating an evaluation from cached results writes the same file again.
"""
