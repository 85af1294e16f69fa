"""Serve the embedded engine behind OpenAI's and vLLM's routes (`burnish serve`)."""
