"""Old segments are archived, released, and searched for what was forgotten."""
