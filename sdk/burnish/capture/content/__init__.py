"""Messages, tool lists and values become bytes that are named by their hash."""
