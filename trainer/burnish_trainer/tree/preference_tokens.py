"""Tokenise conversational preference data, with a mask of the tokens that the model wrote."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from transformers.utils import logging
from trl.data_utils import extract_prompt, is_conversational

from burnish.errors import EmptyDataset
from burnish_trainer.rows.merge import IGNORE
from burnish_trainer.rows.token_rows import TokenRow, tokenise_rows
from burnish_trainer.tree.prefix_trie import shared_length

logger = logging.get_logger(__name__)
_SIDES = ("chosen", "rejected")


def tokenise_preferences(dataset: Any, tokenizer: Any) -> Any:
    """Return a dataset with `prompt_ids` and, for each side, ids and a mask; None unless its rows are conversations.

    A pair that the chat template does not print exactly is dropped, and the log says how many and why.

    Raises:
        EmptyDataset: No pair is left.
    """
    import datasets

    if not isinstance(dataset, datasets.Dataset) or not len(dataset):
        return None
    if not is_conversational(dataset[0]):
        return None
    rows: list[dict[str, Any]] = []
    for at, each in enumerate(dataset):
        example: Any = each
        rows += _side_rows(at, dict(example) if "prompt" in example else extract_prompt(example))
    found, report = tokenise_rows(rows, tokenizer)
    sides: dict[str, list[TokenRow]] = {}
    for row in found:
        sides.setdefault(row.row_id, []).append(row)
    pairs = [[sides.get(f"{at}/{side}", []) for side in _SIDES] for at in range(len(dataset))]
    kept = {
        at: _columns(pair[0][0], pair[1][0])
        for at, pair in enumerate(pairs)
        if all(len(side) == 1 for side in pair)
    }
    if len(kept) < len(dataset):
        reasons = json.dumps(report.dropped) if report.dropped else "a side has several contexts"
        lost = len(dataset) - len(kept)
        logger.warning("%d of %d pairs are dropped: %s", lost, len(dataset), reasons)
    if not kept:
        raise EmptyDataset(
            f"no pair can be tokenised ({json.dumps(report.dropped)})",
            "pairs of conversations that the chat template prints exactly",
            "look at one pair with tokenizer.apply_chat_template",
        )
    return datasets.Dataset.from_list(list(kept.values()))


def _side_rows(at: int, example: dict[str, Any]) -> list[dict[str, Any]]:
    prompt = [{**_present(message), "loss": False} for message in example["prompt"]]
    return [
        {
            "row_id": f"{at}/{side}",
            "messages": prompt
            + [{**_present(m), "loss": m["role"] == "assistant"} for m in example[side]],
            "tools": example.get("tools") or [],
        }
        for side in _SIDES
    ]


def _present(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message without the empty columns that Arrow adds."""
    return {key: value for key, value in message.items() if value is not None or key == "content"}


def _columns(chosen: TokenRow, rejected: TokenRow) -> dict[str, list[int]]:
    """Return the pair with everything before the first counted token of either side as its prompt."""
    counted = [np.asarray(row.labels) != IGNORE for row in (chosen, rejected)]
    ids = [np.asarray(row.input_ids) for row in (chosen, rejected)]
    before = min(shared_length(*ids), *(int(np.flatnonzero(mask)[0]) for mask in counted))
    return {
        "prompt_ids": ids[0][:before].tolist(),
        "chosen_ids": ids[0][before:].tolist(),
        "rejected_ids": ids[1][before:].tolist(),
        "chosen_mask": counted[0][before:].astype(int).tolist(),
        "rejected_mask": counted[1][before:].astype(int).tolist(),
    }


class PreferenceCollator:
    """Pads pairs as TRL's collator does, with a completion mask that leaves out what the model did not write.

    Rows are never cut, and padding is masked, so its token does not matter.
    """

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Return tokens and masks (2B, T): first all chosen sides, then all rejected ones."""
        rows = [
            (e["prompt_ids"] + e[f"{s}_ids"], e.get(f"{s}_mask") or [1] * len(e[f"{s}_ids"]))
            for s in _SIDES
            for e in examples
        ]
        longest = max(len(ids) for ids, _ in rows)
        tokens = torch.zeros((len(rows), longest), dtype=torch.long)
        attention, completion = torch.zeros_like(tokens), torch.zeros_like(tokens)
        for place, (ids, mask) in enumerate(rows):
            tokens[place, : len(ids)] = torch.tensor(ids)
            attention[place, : len(ids)] = 1
            completion[place, len(ids) - len(mask) : len(ids)] = torch.tensor(mask)
        found = {"input_ids": tokens, "attention_mask": attention, "completion_mask": completion}
        for name in ("ref_chosen_logps", "ref_rejected_logps"):
            if name in examples[0]:
                found[name] = torch.tensor([example[name] for example in examples])
        return found
