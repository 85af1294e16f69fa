"""Change other libraries where capture needs it: one file per library, each change can be undone."""
