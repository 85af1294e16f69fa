"""Which model answers in the examples.

Knows: one environment variable. Does not know: the agent, or what it is asked.

With `OPENAI_BASE_URL` set, any OpenAI-compatible endpoint answers (`OPENAI_API_KEY` and
`OPENAI_MODEL` go with it, where the endpoint needs them); without it, the model that burnish
bundles, in this process.
"""

from __future__ import annotations

import os

from langchain_core.language_models import BaseChatModel


def chosen_model() -> BaseChatModel:
    """The chat model that the environment names."""
    endpoint = os.environ.get("OPENAI_BASE_URL")
    if endpoint:
        from langchain_openai import ChatOpenAI
        from pydantic import SecretStr

        key = SecretStr(os.environ.get("OPENAI_API_KEY", "none"))
        name = os.environ.get("OPENAI_MODEL", "starter")
        return ChatOpenAI(base_url=endpoint, api_key=key, model=name, temperature=0)
    from burnish.serving import EmbeddedChat

    return EmbeddedChat(base_model="starter")
