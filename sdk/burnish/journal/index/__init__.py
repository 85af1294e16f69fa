"""A SQLite file that says where the events of each trajectory lie."""
