"""Steps that keep or drop a run, each with a counted reason."""
