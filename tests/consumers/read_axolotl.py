"""Render an export with axolotl's own strategy for chat templates: the text, and its learned parts.

Preferences pass through its strategy for texts that are rendered already, and its check of lengths.

usage: python read_axolotl.py GIVEN.json RESULT.json
"""

import json
import sys
from pathlib import Path

from axolotl.prompt_strategies.chat_template import StrategyLoader
from axolotl.prompt_strategies.dpo import load as load_preferences
from axolotl.utils.data.rl import _drop_long_sequences
from axolotl.utils.dict import DictDefault
from axolotl.utils.schemas.enums import RLType
from datasets import Dataset
from transformers import AutoTokenizer


def main(given: Path, result: Path) -> None:
    asked = json.loads(given.read_text())
    tokenizer = AutoTokenizer.from_pretrained(asked["tokenizer"])
    if "preferences" in asked:
        transform = load_preferences(asked["preferences"], {}, dataset_idx=0)
        pairs = [transform(row, tokenizer=tokenizer) for row in asked["rows"]]
        kept = [row for row in pairs if _drop_long_sequences(row, RLType.DPO, tokenizer, 100_000)]
        result.write_text(json.dumps(kept))
        return
    cfg = DictDefault(
        {"train_on_inputs": False, "sequence_len": 100_000, "chat_template": "tokenizer_default"}
    )
    source = DictDefault({"type": "chat_template", "field_messages": "messages", **asked["source"]})
    strategy = StrategyLoader()(tokenizer, cfg, source)
    file = result.parent / "ours.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in asked["rows"]))
    rows = Dataset.from_json(str(file), cache_dir=str(result.parent / "cache"))
    result.write_text(json.dumps([read(strategy.tokenize_prompt(row), tokenizer) for row in rows]))


def read(made: dict, tokenizer: object) -> dict:
    learned, before = [], -100
    for label in made["labels"]:
        if label != -100:
            if before == -100:
                learned.append([])
            learned[-1].append(label)
        before = label
    text = tokenizer.decode(made["input_ids"])
    return {"text": text, "learned": [tokenizer.decode(part) for part in learned]}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
