"""A base model and its chat template, read once from the model's folder."""
