"""Run programs of agents without network and with limits on every resource."""
