"""Chat templates: rendered, and matched with the formats that they read."""
