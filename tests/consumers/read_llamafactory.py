"""Read an export with LLaMA-Factory's own loader, converter, template and processor.

usage: python read_llamafactory.py GIVEN.json RESULT.json
"""

import importlib.machinery
import json
import os
import sys
import types
from pathlib import Path

os.environ["DISABLE_VERSION_CHECK"] = "1"  # nothing is trained: a newer transformers will do
for name in ("torchaudio", "torchaudio.functional"):  # imported at once, used for sounds alone
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__spec__ = importlib.machinery.ModuleSpec(name, None)

from llamafactory.data.loader import _load_single_dataset  # noqa: E402
from llamafactory.data.parser import get_dataset_list  # noqa: E402
from llamafactory.data.processor import (  # noqa: E402
    PairwiseDatasetProcessor,
    SupervisedDatasetProcessor,
)
from llamafactory.data.template import get_template_and_fix_tokenizer  # noqa: E402
from llamafactory.hparams import DataArguments, ModelArguments  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402

COLUMNS = {"messages": "conversations", "system": "system", "tools": "tools"}
SIDES = {"chosen": "chosen", "rejected": "rejected"}


def main(given: Path, result: Path) -> None:
    asked = json.loads(given.read_text())
    folder = result.parent
    ranking = asked.get("ranking", False)
    info = {
        "file_name": "ours.jsonl",
        "formatting": "sharegpt",
        "ranking": ranking,
        "columns": {**COLUMNS, **(SIDES if ranking else {})},
    }
    (folder / "dataset_info.json").write_text(json.dumps({"ours": info}))
    lines = [json.dumps(row) for row in asked["rows"]]
    (folder / "ours.jsonl").write_text("\n".join(lines) + "\n")
    tokenizer = AutoTokenizer.from_pretrained(asked["tokenizer"])
    data_args = DataArguments(
        template=asked["template"],
        dataset_dir=str(folder),
        overwrite_cache=True,
        cutoff_len=100_000,
    )
    (attributes,) = get_dataset_list(["ours"], str(folder))
    training_args = types.SimpleNamespace(local_process_index=0, dataloader_num_workers=0)
    model_args = ModelArguments(model_name_or_path="none", cache_dir=str(folder / "cache"))
    dataset = _load_single_dataset(attributes, model_args, data_args, training_args)
    template = get_template_and_fix_tokenizer(tokenizer, data_args)
    aligned = list(dataset)
    processor = (PairwiseDatasetProcessor if ranking else SupervisedDatasetProcessor)(
        template=template, tokenizer=tokenizer, processor=None, data_args=data_args
    )
    result.write_text(json.dumps([read(row, processor, tokenizer) for row in aligned]))


def read(row: dict, processor: object, tokenizer: object) -> dict:
    encoded = processor._encode_data_example(
        row["_prompt"], row["_response"], row["_system"], row["_tools"], [], [], []
    )
    sides = [describe(*encoded[at : at + 2], tokenizer) for at in range(0, len(encoded), 2)]
    return {
        "turns": [*row["_prompt"], *row["_response"]],
        "system": row["_system"],
        "tools": row["_tools"],
        **sides[0],
        **({"rejected": sides[1]} if sides[1:] else {}),
    }


def describe(ids: list[int], labels: list[int], tokenizer: object) -> dict:
    learned, before = [], -100
    for label in labels:
        if label != -100:
            if before == -100:
                learned.append([])
            learned[-1].append(label)
        before = label
    return {
        "text": tokenizer.decode(ids),
        "learned": [tokenizer.decode(part) for part in learned],
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
