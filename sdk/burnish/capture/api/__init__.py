"""Functions that users call to record an agent: `wrap`, `trace`, `task`, `outcome`, `flush`."""
