"""Programs of agents run here, without network and with limits on everything."""
