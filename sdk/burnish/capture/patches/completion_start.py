"""Report the start of an asynchronous completion model to all callback handlers.

`install` replaces `AsyncCallbackManager.on_llm_start` of langchain-core.

That method calls either the inline handlers or the others, never both. Burnish's handler runs
inline, so with it no other handler would be called. The replacement therefore calls the method
without that handler, and then calls the handler itself.
"""

from __future__ import annotations

import functools
from typing import Any

from burnish.capture import faults


def install(handler: Any) -> None:
    """Call the original method without the given handler, then the handler."""
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
