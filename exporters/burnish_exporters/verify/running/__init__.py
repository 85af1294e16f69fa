"""Run verifiers over trajectories, in their own processes and with limits."""
