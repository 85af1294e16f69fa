"""Make tiny random models and adapters for tests, contract kits and benchmarks.

`make_model` writes a model with its tokenizer, `make_adapter` an adapter for it, and `teach_replies`
trains a model to repeat a few replies.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from transformers.utils import logging

END, PAD = "<|im_end|>", "<|endoftext|>"
_MARKS = (PAD, "<|im_start|>", END, "<tool_call>", "</tool_call>")
_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

_TEMPLATE = """{%- for m in messages -%}
{{- '<|im_start|>' + m.role + '\\n' -}}
{{- m.content -}}
{%- if m.role == 'system' -%}
{%- for t in tools or [] -%}{{- '\\n' + t.function.name -}}{%- endfor -%}
{%- endif -%}
{%- for c in m.tool_calls or [] -%}
{{- '<tool_call>{"name": "' + c.function.name + '", "arguments": ' -}}
{{- c.function.arguments if c.function.arguments is string else c.function.arguments | tojson -}}
{{- '}</tool_call>' -}}
{%- endfor -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSize:
    """Size of a tiny model; the default takes some milliseconds per forward."""

    hidden: int = 64
    layers: int = 2
    heads: int = 4
    mlp: int = 128
    vocabulary: int = 288
    spread: float = 0.2
    """Standard deviation of the weights: large enough that adapters change the answers."""


def make_model(folder: Path, *, size: ModelSize | None = None, seed: int = 0) -> Path:
    """Write a random Qwen3 model with a byte tokenizer and a chat template."""
    size = size or ModelSize()
    tokenizer = _make_tokenizer()
    generator = torch.random.get_rng_state()
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=size.vocabulary,
            hidden_size=size.hidden,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            num_key_value_heads=max(1, size.heads // 2),
            head_dim=32,
            intermediate_size=size.mlp,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            initializer_range=size.spread,
            eos_token_id=tokenizer.convert_tokens_to_ids(END),
            pad_token_id=tokenizer.convert_tokens_to_ids(PAD),
        )
    )
    torch.random.set_rng_state(generator)
    _save_model(model, tokenizer, folder)
    return folder


def teach_replies(folder: Path, replies: Mapping[str, str], *, steps: int = 120) -> None:
    """Train the model in a folder to answer each user message with its reply."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    model = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32).train()
    rows = []
    for question, reply in replies.items():
        asked = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
        )
        start = tokenizer(asked, add_special_tokens=False)["input_ids"]
        rows.append((start, tokenizer(reply + END, add_special_tokens=False)["input_ids"]))
    width = max(len(start) + len(reply) for start, reply in rows)
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    labels = torch.full((len(rows), width), -100)
    for row, (start, reply) in enumerate(rows):
        ids[row, : len(start) + len(reply)] = torch.tensor(start + reply)
        labels[row, len(start) : len(start) + len(reply)] = torch.tensor(reply)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss.item() < 0.005:
            break
    _save_model(model.eval(), tokenizer, folder)


def make_adapter(folder: Path, base: Path, *, seed: int = 1, rank: int = 8) -> Path:
    """Write a random LoRA adapter for a tiny model, in PEFT's form, strong enough to change answers."""
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    draws = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for layer in range(config["num_hidden_layers"]):
        for target, (inputs, outputs) in _layer_shapes(config).items():
            block = "mlp" if target in ("gate_proj", "up_proj", "down_proj") else "self_attn"
            name = f"base_model.model.model.layers.{layer}.{block}.{target}"
            tensors[f"{name}.lora_A.weight"] = torch.randn(rank, inputs, generator=draws) * 0.1
            tensors[f"{name}.lora_B.weight"] = torch.randn(outputs, rank, generator=draws) * 0.1
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    settings: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": 2 * rank,
        "target_modules": list(_TARGETS),
        "bias": "none",
        "base_model_name_or_path": str(base),
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def _layer_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    hidden, mlp, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    outputs = (
        (hidden, queries),
        (hidden, keys),
        (hidden, keys),
        (queries, hidden),
        (hidden, mlp),
        (hidden, mlp),
        (mlp, hidden),
    )
    return dict(zip(_TARGETS, outputs, strict=True))


def _make_tokenizer() -> Any:
    """Make the byte tokenizer of the tiny model, with its chat template."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {mark: at for at, mark in enumerate((*_MARKS, *alphabet))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(_MARKS))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, chat_template=_TEMPLATE
    )


def _save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if shown:
        logging.enable_progress_bar()
