"""Choose the chat model of the examples.

With `OPENAI_BASE_URL` set, any OpenAI-compatible endpoint answers (with `OPENAI_API_KEY` and
`OPENAI_MODEL`, if the endpoint needs them). Without it, the model that burnish bundles answers in
this process.
"""

from __future__ import annotations

import os

from langchain_core.language_models import BaseChatModel


def chosen_model() -> BaseChatModel:
    """Return the chat model that the environment variables name."""
    endpoint = os.environ.get("OPENAI_BASE_URL")
    if endpoint:
        from langchain_openai import ChatOpenAI
        from pydantic import SecretStr

        key = SecretStr(os.environ.get("OPENAI_API_KEY", "none"))
        name = os.environ.get("OPENAI_MODEL", "starter")
        return ChatOpenAI(base_url=endpoint, api_key=key, model=name, temperature=0)
    from burnish.serving import EmbeddedChat

    return EmbeddedChat(base_model="starter")
