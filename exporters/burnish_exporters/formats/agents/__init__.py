"""Formats for trajectories of agents: ADP, ATIF and steps for reinforcement learning."""
