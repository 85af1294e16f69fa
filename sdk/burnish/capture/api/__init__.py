"""Provide the functions that users call: `wrap`, `trace`, `task`, `outcome`, `flush`."""
