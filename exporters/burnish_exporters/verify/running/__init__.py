"""Runs verifiers over trajectories, in processes of their own and with limits."""
