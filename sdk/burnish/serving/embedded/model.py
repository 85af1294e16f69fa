"""Load the base model with its slot layers, and run prefills, steps and scoring.

Axes: `B` rows, `T` tokens, `V` vocabulary.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from burnish.errors import ServingError
from burnish.serving.contract.base_models import base_sha256
from burnish.serving.contract.model_contract import (
    FULL,
    SLIDING,
    ModelContract,
    find_own_cache_reason,
    read_contract,
    refuse_to_serve,
)
from burnish.serving.embedded.cache import Pool
from burnish.serving.embedded.renderer import Renderer
from burnish.serving.embedded.row_caches import RowCaches
from burnish.serving.embedded.slots import Slot, Slots, install_slots
from burnish.serving.fingerprint import drift

_PROBE = 24  # tokens of the prompt that a loaded model is checked with
_CACHE_NAMES = ("past_key_values", "cache_params")  # as models take and return their cache
_LOG = logging.getLogger(__name__)
_SMALL = 100_000_000  # parameters below which more threads cost more than they bring


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Options of an engine."""

    device: str = "cpu"
    dtype: str = "auto"
    """"auto" is float32 on a CPU and the stored type elsewhere."""
    threads: int | None = None
    """Threads of the worker; by default 1 for models under 100 M parameters, else torch's own."""
    max_rows: int = 128
    """Requests that share a forward."""
    prefill_tokens: int = 1024
    """Prompt tokens, with padding, of one forward; more is not faster and delays other requests."""
    gather_ms: float = 2.0
    """Longest wait of a new request for others that share its first forward."""
    own_caches: bool = False
    """Serve each request over the model's own cache, one by one, though the model could share a batch."""


@dataclasses.dataclass(frozen=True)
class ModelFacts:
    """Facts of a loaded model."""

    folder: Path
    sha256: str
    vocabulary: int
    context: int
    stops: frozenset[int]
    parameters: int
    dtype: str


class CausalModel:
    """A causal language model whose linear layers apply adapters row by row.

    All methods after loading must run in one thread.
    """

    def __init__(self, folder: Path, options: EngineOptions) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self.options = options
        self.contract: ModelContract = read_contract(folder)
        refuse_to_serve(self.contract)
        self.device = torch.device(options.device)
        self._model = _load_model(folder, options)
        self.slots: Slots = install_slots(self._model)
        self._backbone: nn.Module = self._model.base_model
        self._head: nn.Module = self._model.get_output_embeddings()
        self.facts = self._read_facts(folder)
        self._plain_head = self._head_is_plain()
        self.one_by_one: str | None = self._choose_caches()

    @property
    def head_name(self) -> str | None:
        """Name of the output layer in the model."""
        named = self._model.named_modules()
        return next((name for name, module in named if module is self._head), None)

    def choose_threads(self) -> int | None:
        """Return the number of threads for the worker; None keeps torch's default."""
        small = self.facts.parameters < _SMALL and self.device.type == "cpu"
        return self.options.threads or (1 if small else None)

    def make_pool(self) -> Pool | RowCaches:
        """Make an empty key/value pool for this model, or caches of its own making."""
        if self.one_by_one is not None:
            return RowCaches()
        return Pool(int(self._model.config.get_text_config().num_hidden_layers))

    def run_prefill(
        self,
        prompts: Sequence[Sequence[int]],
        slots: Sequence[Slot | None],
        pool: Pool | RowCaches,
        start: int,
    ) -> torch.Tensor:
        """Run whole prompts into the pool's rows from `start` on.

        Returns:
            Logits after the last token of each prompt, `B x V`, float32.
        """
        if isinstance(pool, RowCaches):
            return pool.run_prefill(self._forward_row, prompts, slots, start)
        ids, last = self._pad_prompts(prompts)
        pool.begin_prefill(start)
        self.slots.plan.assign_rows(slots, self.device)
        return self._compute_logits(ids, last, past_key_values=pool, use_cache=True)

    def run_step(
        self,
        tokens: Sequence[int],
        lengths: Sequence[int],
        slots: Sequence[Slot | None],
        pool: Pool | RowCaches,
        places: Sequence[int] | None = None,
    ) -> torch.Tensor:
        """Run one token per running row, stored at each row's own length.

        Args:
            tokens: The last token of each row.
            lengths: Tokens of each row that the pool holds already.
            slots: The adapter of each row.
            pool: Keys and values.
            places: Rows of the pool that are stepped; by default the first ones.

        Returns:
            Logits after the token, `B x V`, float32.
        """
        if isinstance(pool, RowCaches):
            return pool.run_step(self._forward_row, tokens, lengths, slots, places)
        ids = torch.tensor(tokens, device=self.device)[:, None]
        at = torch.tensor(lengths, device=self.device)
        rows = None if places is None else torch.tensor(places, device=self.device)
        pool.begin_decode(at, max(lengths) + 1, rows)
        self.slots.plan.assign_rows(slots, self.device)
        return self._compute_logits(
            ids,
            torch.zeros_like(at),
            past_key_values=pool,
            use_cache=True,
            attention_mask=self._make_masks(pool),
            position_ids=at[:, None],
        )

    def _forward_row(
        self, tokens: Sequence[int], start: int, cache: Any, slot: Slot | None
    ) -> tuple[torch.Tensor, Any]:
        """Run tokens of one request over the model's own cache; return the last logits and the cache."""
        self.slots.plan.assign_rows([slot], self.device)
        given = {} if cache is None else {cache[0]: cache[1]}
        ids = torch.tensor([list(tokens)], device=self.device)
        at = torch.arange(start, start + len(tokens), device=self.device)[None]
        result = self._model(input_ids=ids, position_ids=at, use_cache=True, **given)
        for name in _CACHE_NAMES:
            if getattr(result, name, None) is not None:
                return result.logits[0, -1].float(), (name, getattr(result, name))
        raise self._refuse_inexact("gives no cache that a next step could continue")

    def _make_masks(self, pool: Pool) -> torch.Tensor | dict[str, torch.Tensor]:
        """Make the mask of a step, or one mask per kind of attention."""
        contract, dtype = self.contract, self._model.dtype
        kinds = contract.attention_kinds
        if kinds == frozenset({FULL}):
            return pool.make_mask(dtype)
        if kinds == frozenset({SLIDING}):
            return pool.make_mask(dtype, contract.window)
        return {FULL: pool.make_mask(dtype), SLIDING: pool.make_mask(dtype, contract.window)}

    def score_next_tokens(
        self, prompts: Sequence[Sequence[int]], slot: Slot | None
    ) -> torch.Tensor:
        """Return log-probabilities of the next token after each prompt, `B x V`, float32."""
        ids, last = self._pad_prompts(prompts)
        self.slots.plan.assign_rows([slot] * len(prompts), self.device)
        return self._compute_logits(ids, last, use_cache=False).log_softmax(-1)

    def score_all_tokens(self, prompts: Sequence[Sequence[int]], slot: Slot | None) -> torch.Tensor:
        """Return log-probabilities of every next token, right-padded, `B x T x V`, float32."""
        ids, _ = self._pad_prompts(prompts)
        self.slots.plan.assign_rows([slot] * len(prompts), self.device)
        logits = self._model(input_ids=ids, use_cache=False).logits
        return logits.float().log_softmax(-1)

    def _pad_prompts(self, prompts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Pad prompts on the right: under a causal mask a row never sees its padding."""
        width = max(map(len, prompts))
        rows = [[*prompt, *([0] * (width - len(prompt)))] for prompt in prompts]
        last = [len(prompt) - 1 for prompt in prompts]
        return torch.tensor(rows, device=self.device), torch.tensor(last, device=self.device)

    def _compute_logits(self, ids: torch.Tensor, last: torch.Tensor, **given: Any) -> torch.Tensor:
        rows = torch.arange(ids.shape[0], device=self.device)
        if self._plain_head:
            hidden = self._backbone(input_ids=ids, **given).last_hidden_state
            return self._head(hidden[rows, last]).float()
        kept, where = torch.unique(last, return_inverse=True)
        logits = self._model(input_ids=ids, logits_to_keep=kept, **given).logits
        return logits[rows, where].float()

    @torch.inference_mode()
    def _head_is_plain(self) -> bool:
        """Return True if logits are exactly the output layer over the last hidden state."""
        ids = torch.arange(min(8, self.facts.vocabulary), device=self.device)[None]
        self.slots.plan.assign_rows([None], self.device)
        result = self._backbone(input_ids=ids, use_cache=False)
        hidden = getattr(result, "last_hidden_state", None)
        if hidden is None:  # some families declare no backbone of the name that they have
            return False
        logits = self._model(input_ids=ids, use_cache=False).logits
        return torch.equal(self._head(hidden), logits)

    def _refuse_unlike_contract(self) -> None:
        """Refuse a model whose loaded layers differ from those that its folder declares."""
        config = self._model.config.get_text_config()
        window = getattr(config, "sliding_window", None)
        listed = getattr(config, "layer_types", None) or [SLIDING if window else FULL]
        same_window = SLIDING not in listed or window == self.contract.window
        if frozenset(listed) != self.contract.attention_kinds or not same_window:
            raise ServingError(
                f"the model in {self.facts.folder} has layers of the kinds "
                f"{', '.join(sorted(set(listed)))} with a window of {window} once loaded, but its "
                f"folder declares {', '.join(sorted(self.contract.attention_kinds))} with a window "
                f"of {self.contract.window}",
                "layer_types and sliding_window in config.json as the loaded model has them",
                "save the model again with save_pretrained()",
            )

    def _choose_caches(self) -> str | None:
        """Return why requests run one by one over the model's own caches; None if they share a pool.

        Raises:
            ServingError: If the model's answers differ from those of a whole forward on both ways.
        """
        self.one_by_one = (
            "own_caches=True" if self.options.own_caches else find_own_cache_reason(self.contract)
        )
        if self.one_by_one is None:
            self._refuse_unlike_contract()
            try:
                self._refuse_inexact_steps()
            except ServingError as error:
                self.one_by_one = f"layers that cannot share a pool: the model {error.found}"
        if self.one_by_one is not None:
            self._refuse_inexact_steps()
            _LOG.warning(
                "the model in %s has %s: its requests run one by one, slower than in a batch",
                self.facts.folder,
                self.one_by_one,
            )
        return self.one_by_one

    @torch.inference_mode()
    def _refuse_inexact_steps(self) -> None:
        """Refuse a model whose stepwise answer differs from that of one whole forward.

        This detects what no configuration declares: layers with their own state, or other masks.
        """
        count = min(_PROBE, self.facts.context - 2)
        ids = [(7 * at + 3) % self.facts.vocabulary for at in range(count + 2)]
        pool = self.make_pool()
        pool.reserve_rows(1, count + 3)
        try:
            whole = self._model(input_ids=torch.tensor([ids], device=self.device)).logits[0]
            stepped = [self.run_prefill([ids[:count]], [None], pool, 0)]
            for at in (count, count + 1):
                pool.reserve_rows(1, at + 1)
                stepped.append(self.run_step([ids[at]], [at], [None], pool))
        except Exception as error:
            raise self._refuse_inexact(
                f"fails step by step ({type(error).__name__}: {error})"
            ) from error
        shares = torch.cat(stepped).softmax(-1)
        apart = (shares - whole[-3:].float().softmax(-1)).abs().sum(-1).max().item() / 2
        if not apart <= drift(self.facts.dtype):
            raise self._refuse_inexact(
                f"answers step by step {apart:.3f} apart from a whole forward"
            )

    def _refuse_inexact(self, found: str) -> ServingError:
        return ServingError(
            f"the model in {self.facts.folder} ({self.contract.model_type}) {found}",
            "a model whose cache continues its answer, which the embedded engine needs",
            'serve it with vLLM and set backend = "http://..." in burnish.toml',
        )

    def _read_facts(self, folder: Path) -> ModelFacts:
        stops = Renderer.shared(folder).find_stop_ids(self.contract.end_ids)
        return ModelFacts(
            folder=folder,
            sha256=base_sha256(folder),
            vocabulary=int(self._model.get_input_embeddings().weight.shape[0]),
            context=self.contract.context or 1 << 30,
            stops=stops,
            parameters=sum(p.numel() for p in self._model.parameters()),
            dtype=str(self._model.dtype).removeprefix("torch."),
        )


def _load_model(folder: Path, options: EngineOptions) -> Any:
    dtype: Any = options.dtype
    if dtype == "auto" and options.device == "cpu":
        dtype = torch.float32
    try:
        return _read_weights(folder, options, dtype)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        if isinstance(error, ServingError):
            raise
        raise ServingError(
            f"the model in {folder} cannot be loaded: {error}",
            "a causal language model saved by transformers as safetensors",
            "burnish doctor",
        ) from error


def _read_weights(folder: Path, options: EngineOptions, dtype: Any) -> Any:
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
        )
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
    return model.to(options.device).eval().requires_grad_(False)
