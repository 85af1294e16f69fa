"""Parse tool calls in a model's text: syntaxes, readers, values."""
