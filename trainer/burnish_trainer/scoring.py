"""Score text with a model: log-probabilities of a continuation, for the exporters' filter of needless tool calls.

    recipe = {"scorer": "burnish_trainer.scoring:starter"}

or, in your own module, `score = ModelScorer("path/to/model", adapter="support@4f1c2a90b3e0")`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class ModelScorer:
    """Scores text with a base model, and an adapter if one is named; the model is loaded at the first use.

    Attributes:
        base_model: Folder or name of the model.
        adapter: Adapter version `name@sha12`; None is the base model.
    """

    base_model: str
    adapter: str | None = None

    def __call__(self, before: str, continuation: str) -> list[float]:
        """Return log-probabilities of the tokens of `continuation`, each given `before` and the tokens so far.

        A first token without a context has no log-probability and is left out.
        """
        start = self._token_ids(before)
        ids = [*start, *self._token_ids(continuation)]
        return (
            self._shared_engine.score_tokens(ids, len(start), self.adapter) if len(ids) > 1 else []
        )

    def _token_ids(self, text: str) -> list[int]:
        return (
            list(self._base_tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []
        )

    @cached_property
    def _shared_engine(self) -> Any:
        from burnish.serving.embedded.engine import Engine

        return Engine.shared(self.base_model)

    @cached_property
    def _base_tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        from burnish.serving.contract.base_models import resolve_model

        return AutoTokenizer.from_pretrained(resolve_model(self.base_model))


starter = ModelScorer("starter")
