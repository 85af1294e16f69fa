"""Lets other handlers hear the start of a completion model that is called asynchronously.

Knows: `AsyncCallbackManager.on_llm_start` of langchain-core. Does not know: events.

That method tells the start either to the handlers that run inline or to the others, never to both.
Ours runs inline, so with it no other handler would hear anything of such a call. The method is
therefore called without our handler, which is told afterwards.
"""

from __future__ import annotations

import functools
from typing import Any

from burnish.capture import faults


def install(handler: Any) -> None:
    """Keep our handler out of the method that can tell only one kind of handlers."""
    from langchain_core.callbacks import AsyncCallbackManager

    original = getattr(AsyncCallbackManager, "on_llm_start", None)
    if original is None:
        faults.say_once(
            "completion_start_missing",
            "langchain-core has changed shape: other handlers may miss the start of completion "
            "models that are called asynchronously (burnish doctor)",
        )
        return
    AsyncCallbackManager.on_llm_start = _call_beside(original, handler)


def _call_beside(original: Any, handler: Any) -> Any:
    @functools.wraps(original)
    async def on_llm_start(
        self: Any, serialized: Any, prompts: list[str], *args: Any, **kwargs: Any
    ) -> Any:
        if handler not in self.handlers:
            return await original(self, serialized, prompts, *args, **kwargs)
        others = self.copy()
        for handlers in (others.handlers, others.inheritable_handlers):
            handlers[:] = [one for one in handlers if one is not handler]
        started = await original(others, serialized, prompts, *args, **kwargs)
        about = {key: value for key, value in kwargs.items() if key != "run_id"}
        for run, prompt in zip(started, prompts, strict=False):
            run.handlers, run.inheritable_handlers = self.handlers, self.inheritable_handlers
            handler.on_llm_start(
                serialized,
                [prompt],
                run_id=run.run_id,
                parent_run_id=self.parent_run_id,
                tags=self.tags,
                metadata=self.metadata,
                **about,
            )
        return started

    return on_llm_start
