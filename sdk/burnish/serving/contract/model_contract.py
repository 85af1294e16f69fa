"""Read the properties of a base model from its folder.

They are attention, head, end marks, context and chat template.

`read_contract(folder)` needs neither torch nor transformers: it reads `config.json`,
`generation_config.json`, `tokenizer_config.json` and the chat template. The trainer, the engine and
the backends check it before any work, so that a model which one of them cannot handle exactly is
refused with the reason instead of being trained or served incorrectly.

    contract = read_contract(resolve_model("starter"))
    refuse_to_serve(contract)
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from burnish.errors import ServingError
from burnish.serving.toolcalls.tool_syntax import detect_syntax

FULL, SLIDING = "full_attention", "sliding_attention"

# Settings between hidden state and logits, each with its neutral value.
_HEAD_SETTINGS = {
    "logits_scaling": 1.0,
    "logit_scale": 1.0,
    "final_logit_softcapping": None,
    "lm_head_multiplier": 1.0,
    "output_multiplier_scale": 1.0,
    "dim_model_base": None,
}
# Settings of attention that transformers' fused attention does not support.
_ATTENTION_SETTINGS = ("attn_logit_softcapping",)
# Model types with layers other than attention, whatever their configuration lists.
_RECURRENT = frozenset(
    [
        "bailing_hybrid",
        "bamba",
        "falcon_h1",
        "falcon_mamba",
        "granitemoehybrid",
        "jamba",
        "kimi_linear",
        "lfm2",
        "lfm2_moe",
        "mamba",
        "mamba2",
        "minimax",
        "nemotron_h",
        "olmo_hybrid",
        "qwen3_5",
        "qwen3_5_moe",
        "qwen3_5_text",
        "qwen3_5_moe_text",
        "qwen3_next",
        "rwkv",
        "xlstm",
        "zamba",
        "zamba2",
    ]
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelContract:
    """The declared properties of one base model."""

    folder: Path
    model_type: str
    layers: int
    attention: tuple[str, ...]
    """Kind of each layer: "full_attention", "sliding_attention", or another word of its
    configuration.
    """
    window: int | None
    """Number of tokens that a sliding layer attends to."""
    attention_settings: Mapping[str, Any]
    """Further operations of attention, such as a soft cap."""
    head: Mapping[str, Any]
    """Operations between hidden state and logits besides the output layer, by configuration name.
    """
    tied: bool
    """Whether the output layer shares the embedding's weights."""
    context: int | None
    """Longest sequence in tokens; None if the configuration does not set it."""
    end_ids: frozenset[int]
    """Every token that ends a generation, by generation_config.json and config.json."""
    chat_template: str | None
    syntax: str | None
    """Syntax of tool calls, a name of `burnish.serving.toolcalls.tool_syntax`; None without one."""

    @property
    def attention_kinds(self) -> frozenset[str]:
        """Return the kinds of attention that occur."""
        return frozenset(self.attention)

    def limit_length(self, wanted: int | None) -> int | None:
        """Return the smaller of a wanted length and the model's context, in tokens; None if neither is set."""
        return min((n for n in (wanted, self.context) if n), default=None)


def read_contract(folder: str | Path) -> ModelContract:
    """Read the contract of the model in a folder.

    Raises:
        ServingError: If config.json is missing or cannot be read.
    """
    folder = Path(folder)
    files = [folder / name for name in _FILES if (folder / name).is_file()]
    return _read_contract(folder, tuple(file.stat().st_mtime_ns for file in files))


def refuse_to_serve(contract: ModelContract) -> None:
    """Refuse a model that the embedded engine cannot serve exactly.

    Raises:
        ServingError: With the property that the engine does not support.
    """
    reason = None
    if contract.model_type in _WITHOUT_CACHE:
        reason = "layers that keep their past inside the model, where requests would mix"
    elif SLIDING in contract.attention_kinds and not contract.window:
        reason = "sliding layers without a window size"
    if reason is None:
        return
    raise ServingError(
        f"the model in {contract.folder} ({contract.model_type}) has {reason}",
        "layers whose past is a cache of each request, which the embedded engine needs",
        'serve it with vLLM and set backend = "http://..." in burnish.toml',
    )


def find_own_cache_reason(contract: ModelContract) -> str | None:
    """Return why the requests of a model need caches of the model's own making; None if they share a pool.

    Such a model is served one request at a time, through the caches of transformers.
    """
    if contract.model_type in _RECURRENT:
        return "recurrent or convolution layers"
    if contract.attention_kinds - {FULL, SLIDING}:
        return f"layers of the kinds {', '.join(sorted(contract.attention_kinds))}"
    return None


def refuse_to_train(contract: ModelContract) -> None:
    """Refuse a model for which no adapter can be trained.

    Raises:
        ServingError: If it has no chat template, or no layers that an adapter can be added to.
    """
    if contract.model_type in _WITHOUT_LINEAR_LAYERS:
        raise ServingError(
            f"the model in {contract.folder} ({contract.model_type}) has no linear layers to put an "
            "adapter on: its layers are convolutions by name",
            "torch.nn.Linear layers, which Llama, Qwen, Mistral, Gemma and most others have",
            "choose another base_model in burnish.toml; see docs/models.md",
        )
    if not contract.chat_template:
        raise ServingError(
            f"the model in {contract.folder} ({contract.model_type}) has no chat template",
            "an instruction-tuned model, whose template says how a conversation is written",
            f"save a chat_template.jinja into {contract.folder}",
        )


def refuse_agent_model(folder: Path, backend: str) -> None:
    """Refuse, before any work, a base model for which no adapter can be trained or served.

    Args:
        folder: The folder of the base model.
        backend: "embedded", or the address of a server, which may support more than the engine.

    Raises:
        ServingError: With the property that is not supported.
    """
    contract = read_contract(folder)
    refuse_to_train(contract)
    if backend == "embedded":
        refuse_to_serve(contract)


# Model types of which no layer attends.
_WITHOUT_ATTENTION = frozenset({"falcon_mamba", "mamba", "mamba2", "rwkv", "xlstm"})
# Model types that keep the state of the last request inside their layers.
_WITHOUT_CACHE = frozenset({"recurrent_gemma"})
# Model types whose projections are transformers' Conv1D.
_WITHOUT_LINEAR_LAYERS = frozenset({"gpt2", "openai-gpt", "imagegpt", "decision_transformer"})
_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
)


@functools.lru_cache(maxsize=64)
def _read_contract(folder: Path, written_ns: tuple[int, ...]) -> ModelContract:
    del written_ns  # a folder that was rewritten is read again
    whole = _read_json(folder / "config.json", needed=True)
    config = _text_config(whole)
    generation = _read_json(folder / "generation_config.json")
    model_type = str(config.get("model_type") or whole.get("model_type") or "")
    attention, window = _read_attention(model_type, config)
    template = read_chat_template(folder)
    return ModelContract(
        folder=folder,
        model_type=model_type,
        layers=len(attention),
        attention=attention,
        window=window,
        attention_settings={k: config[k] for k in _ATTENTION_SETTINGS if config.get(k)},
        head={k: config[k] for k, plain in _HEAD_SETTINGS.items() if config.get(k, plain) != plain},
        tied=bool(whole.get("tie_word_embeddings", config.get("tie_word_embeddings", True))),
        context=_read_context(config),
        end_ids=_end_ids(generation, whole, config),
        chat_template=template,
        syntax=detect_syntax(template or "", model_type),
    )


def _read_json(path: Path, *, needed: bool = False) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not needed:
            return {}
        raise _unreadable_file(path, "there is no such file") from None
    except (OSError, ValueError) as error:
        raise _unreadable_file(path, str(error)) from error
    if not isinstance(value, dict):
        raise _unreadable_file(path, "it is not an object")
    return value


def _unreadable_file(path: Path, why: str) -> ServingError:
    return ServingError(
        f"{path} cannot be read: {why}",
        "the folder of a model as save_pretrained() writes it",
        "save or download the model again",
    )


def _text_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a configuration that describes the language model."""
    for name in ("text_config", "language_config", "llm_config"):
        if isinstance(config.get(name), dict):
            return config[name]
    return config


def _read_context(config: Mapping[str, Any]) -> int | None:
    for name in ("max_position_embeddings", "n_positions", "max_sequence_length", "n_ctx"):
        value = config.get(name)
        if isinstance(value, int) and value > 0:
            return value
    return None


def _end_ids(*sources: Mapping[str, Any]) -> frozenset[int]:
    ends: set[int] = set()
    for source in sources:
        value = source.get("eos_token_id")
        listed = value if isinstance(value, list) else [value]
        ends.update(token for token in listed if isinstance(token, int) and token >= 0)
    return frozenset(ends)


def _read_attention(
    model_type: str, config: Mapping[str, Any]
) -> tuple[tuple[str, ...], int | None]:
    """Return the kind of each layer, and the window of the sliding ones."""
    count = next(
        (int(config[k]) for k in ("num_hidden_layers", "n_layer", "n_layers") if config.get(k)), 0
    )
    if model_type in _WITHOUT_ATTENTION:
        return ("recurrent",) * count, None
    window = config.get("sliding_window", _UNSAID_WINDOWS.get(model_type))
    if config.get("use_sliding_window") is False and model_type not in _ALWAYS_SLIDING:
        window = None
    listed = config.get("layer_types")
    if isinstance(listed, list) and listed:
        kinds = tuple(map(str, listed))
    elif window is None and model_type not in _PATTERNS:
        kinds = (FULL,) * count
    else:
        slides = _PATTERNS.get(model_type, _every_layer)
        kinds = tuple(SLIDING if slides(config, at) else FULL for at in range(count))
        window = window or _DEFAULT_WINDOWS.get(model_type)
    return kinds, int(window) if window and SLIDING in kinds else None


def _every_layer(config: Mapping[str, Any], at: int) -> bool:
    del config, at
    return True


def _from_layer(config: Mapping[str, Any], at: int) -> bool:
    """Return whether a layer slides in Qwen: layers from `max_window_layers` on."""
    return at >= int(config.get("max_window_layers", 28)) and bool(config.get("use_sliding_window"))


def _all_but_each(default: int) -> Callable[[Mapping[str, Any], int], bool]:
    """Return the rule of Gemma, Cohere and OLMo 3: all layers but each n-th slide."""

    def slides(config: Mapping[str, Any], at: int) -> bool:
        each = config.get("sliding_window_pattern") or config.get("_sliding_window_pattern")
        return bool((at + 1) % int(each or default))

    return slides


def _without_rope(config: Mapping[str, Any], at: int) -> bool:
    """Return whether a layer slides in SmolLM 3: layers without rotary positions."""
    marks = config.get("no_rope_layers") or []
    each = int(config.get("no_rope_layer_interval") or 4)
    has_rope = bool(marks[at]) if at < len(marks) else bool((at + 1) % each)
    return bool(config.get("use_sliding_window")) and not has_rope


# The sliding layers of families whose configuration does not list them.
_PATTERNS: dict[str, Callable[[Mapping[str, Any], int], bool]] = {
    "gemma2": _all_but_each(2),
    "gemma3_text": _all_but_each(6),
    "gemma3": _all_but_each(6),
    "cohere2": _all_but_each(4),
    "olmo3": _all_but_each(4),
    "gpt_oss": _all_but_each(2),
    "qwen2": _from_layer,
    "qwen2_moe": _from_layer,
    "qwen3": _from_layer,
    "smollm3": _without_rope,
}
# Default windows of families whose configuration may omit it; null disables it.
_UNSAID_WINDOWS = {"mistral": 4096}
_DEFAULT_WINDOWS = {
    "gemma2": 4096,
    "gemma3_text": 4096,
    "gemma3": 4096,
    "cohere2": 4096,
    "olmo3": 4096,
    "gpt_oss": 128,
}
_ALWAYS_SLIDING = frozenset({"gemma2", "gemma3_text", "gemma3", "cohere2", "olmo3", "gpt_oss"})


def read_chat_template(folder: Path) -> str | None:
    """Read the chat template of a folder: of several, the one for tools; None without a template."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    named = _read_json(folder / "chat_template.json").get("chat_template")
    template = named or _read_json(folder / "tokenizer_config.json").get("chat_template")
    if isinstance(template, list):
        by_name = {str(one.get("name")): one.get("template") for one in template}
        template = by_name.get("tool_use") or by_name.get("default")
    return template if isinstance(template, str) else None


__all__ = [
    "FULL",
    "SLIDING",
    "ModelContract",
    "find_own_cache_reason",
    "read_chat_template",
    "read_contract",
    "refuse_agent_model",
    "refuse_to_serve",
]
