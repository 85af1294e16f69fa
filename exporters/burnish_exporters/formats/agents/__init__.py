"""Formats for trajectories of agents: ADP, ATIF, steps for reinforcement learning."""
