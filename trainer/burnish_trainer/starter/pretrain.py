"""Pretrain the starter from random weights: shape, optimizers, schedule, weights on disk.

    python -m burnish_trainer.starter.pretrain --out DIR --steps 3600

It takes about 25 minutes on one core, is seeded, and prints the hash of the weights that it wrote.
curriculum.py draws the rows.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models
from transformers import Qwen3Config, Qwen3ForCausalLM

from burnish_trainer.starter.curriculum import Batch, Curriculum, sample_texts
from burnish_trainer.starter.muon import Muon
from burnish_trainer.starter.tokenizer import blank_tokenizer, train_tokenizer

HIDDEN, LAYERS, HEAD, INNER = 192, 4, 32, 512
ROWS = 32
MUON_LR, ADAM_LR = 0.02, 3e-3
WARMUP_STEPS, CONSTANT_SHARE, FLOOR = 50, 0.4, 0.02
TOKENIZER_TEXTS, TOKENIZER_SEED = 6000, 7


def new_model(tokenizer: Any) -> Qwen3ForCausalLM:
    """Return a model of the starter's shape with random weights."""
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HIDDEN // HEAD,
        num_key_value_heads=HIDDEN // HEAD,
        head_dim=HEAD,
        intermediate_size=INNER,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen3ForCausalLM(config)


def optimizers_of(model: torch.nn.Module) -> list[torch.optim.Optimizer]:
    """Return Muon for the inner matrices and AdamW for embeddings and norms."""
    named = list(model.named_parameters())
    matrices = [p for name, p in named if p.ndim == 2 and "embed" not in name]
    inner = {id(p) for p in matrices}
    rest = [p for _, p in named if id(p) not in inner]
    adam = torch.optim.AdamW(rest, lr=ADAM_LR, betas=(0.9, 0.98), weight_decay=0.0)
    return [Muon(matrices, MUON_LR), adam]


def loss_of(model: Any, batch: Batch) -> torch.Tensor:
    """Return the mean cross entropy over weighted tokens.

    Rows are padded on the right and attention is causal, so no mask is needed; logits are computed
    only where a weight is set.
    """
    hidden_bth = model.model(input_ids=batch.ids_bt).last_hidden_state[:, :-1]
    targets_bt, weights_bt = batch.ids_bt[:, 1:], batch.weights_bt[:, 1:]
    counted = weights_bt > 0
    logits = model.lm_head(hidden_bth[counted])
    losses = torch.nn.functional.cross_entropy(logits, targets_bt[counted], reduction="none")
    weights = weights_bt[counted]
    return (losses * weights).sum() / weights.sum()


def schedule(step: int, steps: int) -> float:
    """Return the factor of all learning rates: warm-up, constant, linear decay."""
    falling = (1 - step / steps) / (1 - CONSTANT_SHARE)
    return min(1.0, (step + 1) / WARMUP_STEPS) * min(1.0, max(FLOOR, falling))


def pretrain(model: Any, batches: Iterable[Batch], steps: int) -> None:
    """Train the model in place, with a line of progress every 50 steps."""
    optimizers = optimizers_of(model)
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    bases = [group["lr"] for group in groups]
    started, tokens = time.monotonic(), 0
    for step, batch in enumerate(batches):
        for group, base in zip(groups, bases, strict=True):
            group["lr"] = base * schedule(step, steps)
        loss = loss_of(model, batch)
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        tokens += batch.ids_bt.numel()
        if (step + 1) % 50 == 0:
            seconds = time.monotonic() - started
            _say(
                f"step {step + 1} loss {loss.item():.3f} tokens {tokens / 1e6:.2f}M {seconds:.0f} s"
            )


def save(model: Any, tokenizer: Any, out: Path) -> str:
    """Write the weights in half precision, to be run in single precision; return their SHA-256."""
    tokenizer.save_pretrained(out)
    model.half().save_pretrained(out)
    config = out / "config.json"
    settings = json.loads(config.read_text("utf-8"))
    settings["dtype"] = "float32"  # the precision in which transformers loads it
    config.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", "utf-8")
    digest = hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()
    (out / "SHA256").write_text(f"{digest}  model.safetensors\n", "utf-8")
    return digest


def main() -> None:
    """Read the arguments, pretrain the model, print the hash of its weights."""
    parser = argparse.ArgumentParser(description="Pretrain the starter from random weights.")
    parser.add_argument("--out", type=Path, required=True, help="folder for model and tokenizer")
    parser.add_argument("--steps", type=int, default=3600)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    blank = blank_tokenizer(Tokenizer(models.BPE()))
    tokenizer = train_tokenizer(sample_texts(TOKENIZER_TEXTS, TOKENIZER_SEED, blank))
    model = new_model(tokenizer)
    size = sum(p.numel() for p in model.parameters())
    _say(f"{len(tokenizer)} tokens, {size / 1e6:.2f} M parameters")
    batches = Curriculum(tokenizer, arguments.seed).batches(arguments.steps, ROWS)
    pretrain(model, batches, arguments.steps)
    _say(save(model, tokenizer, arguments.out))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
