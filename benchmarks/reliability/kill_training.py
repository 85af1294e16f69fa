"""Kill training runs with SIGKILL at random moments, let each continue, and compare the adapter with an undisturbed one.

    python benchmarks/reliability/kill_training.py [--quick] [--json FILE] [--kills N] [--seed N]

Runs alternate between single rows and tries. Each is killed once at a moment that is uniform over the time of an
undisturbed run, and then continued. At the end every adapter has the bytes of the undisturbed one, and the metrics hold
each step once.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from _report import options, report
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

import burnish_trainer.run.trainer
import burnish_trainer.run.tree_trainer  # noqa: F401 - loaded once, before the children are forked
from burnish import settings
from burnish_trainer import Recipe, train

TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ m.content + '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
WAYS = ("off", "blocks")


def make_base(folder: Path) -> Path:
    """Write a tiny model with random weights and a tokenizer of bytes, in a process of its own.

    Training a tokenizer starts threads, and a process with threads must not be forked later.
    """
    child = os.fork()
    if child == 0:
        write_base(folder)
        os._exit(0)
    os.waitpid(child, 0)
    return folder


def write_base(folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    bpe.train_from_iterator(
        ["total of order"],
        trainers.BpeTrainer(
            vocab_size=300, show_progress=False, special_tokens=special, initial_alphabet=alphabet
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        chat_template=TEMPLATE,
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 16}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = Qwen3Config(
        vocab_size=len(tokenizer), max_position_embeddings=512, **sizes, **heads, **ends
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)


def make_rows() -> list[dict[str, Any]]:
    rng = random.Random(0)
    rows = []
    for number in range(24):
        order, total = rng.randint(1000, 9999), rng.randint(1000, 9999)
        messages = [
            {
                "role": "user",
                "content": f"You are the shop. Total of order {order}",
                "loss": False,
            },
            {"role": "assistant", "content": f"Done: {total}", "loss": True},
        ]
        rows.append({"row_id": str(number), "messages": messages, "tools": [], "calls": []})
    return rows


def run_training(home: Path, base: Path, way: str) -> None:
    """Train in this process, and write the id of the adapter."""
    settings.configure(home=home)
    rows = make_rows()
    dataset = SimpleNamespace(
        id="shop@000000000000", rows=lambda split="train": rows if split == "train" else []
    )
    recipe = Recipe(
        rank=4, epochs=2, batch_size=4, learning_rate=1e-2, checkpoints=6, prefix_sharing=way
    )
    version = train(dataset, base_model=base, recipe=recipe)
    (home / f"{way}.json").write_text(json.dumps([version.id, str(version.run)]))


def start(home: Path, base: Path, way: str) -> int:
    """Start a training in a process of its own and return its number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        run_training(home, base, way)
        code = 0
    except BaseException:  # noqa: BLE001 - the parent reads the exit code
        traceback.print_exc()
    os._exit(code)


def finish(home: Path, base: Path, way: str) -> tuple[str, Path] | None:
    """Train to the end; None if the training failed."""
    _, status = os.waitpid(start(home, base, way), 0)
    if status:
        return None
    version, run = json.loads((home / f"{way}.json").read_text())
    return version, Path(run)


def kill_one(home: Path, base: Path, way: str, moment: float) -> str:
    """Kill a training after some seconds; return what was on the disk then."""
    child = start(home, base, way)
    time.sleep(moment)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if (home / f"{way}.json").exists():
        return "ended before"
    if list(home.glob("runs/*/checkpoints/checkpoint-*")):
        return "with checkpoints"
    return "before the first checkpoint"


def main() -> int:
    parser = options("Kill training runs and compare their adapters.")
    parser.add_argument("--kills", type=int, default=None)
    chosen = parser.parse_args()
    kills = chosen.kills or (4 if chosen.quick else 20)
    os.environ["BURNISH_QUIET"] = "1"
    torch.set_num_threads(1)
    place = Path(tempfile.mkdtemp(prefix="burnish-kills-"))
    base = make_base(place / "base")
    wanted: dict[str, tuple[str, Path]] = {}
    seconds: dict[str, float] = {}
    for way in WAYS:
        began = time.monotonic()
        found = finish(place / f"undisturbed-{way}", base, way)
        if found is None:
            return 2
        wanted[way], seconds[way] = found, time.monotonic() - began
    chance = random.Random(chosen.seed)
    figures: dict[str, Any] = {"kills": kills, "wrong": 0, "crashes": 0, "twice": 0}
    for number in range(kills):
        way, home = WAYS[number % 2], place / f"killed-{number}"
        moment = chance.uniform(0, seconds[way])
        seen = kill_one(home, base, way, moment)
        print(
            f"{number + 1}: {way} killed after {moment:.2f} s, {seen}", file=sys.stderr, flush=True
        )
        figures[seen] = figures.get(seen, 0) + 1
        found = finish(home, base, way)
        figures["crashes"] += found is None
        if found is not None:
            lines = (found[1] / "metrics.jsonl").read_text().splitlines()
            steps = [json.loads(line)["step"] for line in lines]
            figures["wrong"] += found[0] != wanted[way][0]
            figures["twice"] += steps != list(range(1, len(steps) + 1))
    shutil.rmtree(place)
    figures |= {f"seconds_{way}": round(value, 1) for way, value in seconds.items()}
    return report(chosen, figures)


if __name__ == "__main__":
    sys.exit(main())
