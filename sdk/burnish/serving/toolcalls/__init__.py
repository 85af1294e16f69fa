"""Tool calls in a model's text: syntaxes, readers, values."""
