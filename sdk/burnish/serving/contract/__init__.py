"""Read a base model and its chat template once from the model's folder."""
