"""Use servers at an address: vLLM, `burnish serve`, any OpenAI-compatible endpoint."""
