"""Index the events of each trajectory in a SQLite file."""
