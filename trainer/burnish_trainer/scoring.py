"""A model that says how likely a text is after another one, for the exporters' filter of needless tool calls.

Knows: how texts become tokens of a base model. Does not know: what is done with log-probabilities.

    recipe = {"scorer": "burnish_trainer.scoring:starter"}

or, in a module of one's own, `score = ModelScorer("path/to/model", adapter="support@4f1c2a90b3e0")`.
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
        """Log-probabilities of the tokens of `continuation`, each given `before` and the tokens so far.

        A model has no opinion on a first token without anything before it, so that one is left out.
        """
        start = self._token_ids(before)
        ids = [*start, *self._token_ids(continuation)]
        return self._load_engine.score_tokens(ids, len(start), self.adapter) if len(ids) > 1 else []

    def _token_ids(self, text: str) -> list[int]:
        return (
            list(self._load_tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []
        )

    @cached_property
    def _load_engine(self) -> Any:
        from burnish.serving.embedded.engine import Engine

        return Engine.shared(self.base_model)

    @cached_property
    def _load_tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        from burnish.serving.models import resolve_model

        return AutoTokenizer.from_pretrained(resolve_model(self.base_model))


starter = ModelScorer("starter")
