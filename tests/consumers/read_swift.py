"""Read an export with ms-swift's own loader and template: the text, and its learned parts.

usage: python read_swift.py GIVEN.json RESULT.json
"""

import json
import sys
from pathlib import Path

from swift.dataset import load_dataset
from swift.model import get_processor
from swift.template import get_template
from transformers import Qwen3Config


def main(given: Path, result: Path) -> None:
    asked = json.loads(given.read_text())
    Qwen3Config(architectures=["Qwen3ForCausalLM"]).save_pretrained(asked["tokenizer"])
    file = result.parent / "ours.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in asked["rows"]))
    dataset, _ = load_dataset(str(file), split_dataset_ratio=0.0)
    processor = get_processor(asked["tokenizer"], model_type="qwen3")
    template = get_template(processor, max_length=100_000, template_type="qwen3")
    template.set_mode("train")
    result.write_text(json.dumps([read(template.encode(dict(row)), processor) for row in dataset]))


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
