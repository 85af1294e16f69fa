"""Find secrets in text: published forms of tokens, assignments, tables, names of secrets."""
