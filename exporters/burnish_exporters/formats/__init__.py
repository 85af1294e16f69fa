"""How consumers want rows: one file per consumer, found by name.

Knows: the formats and how a rendered format becomes a `datasets.Dataset` or a file of JSON lines.
Does not know: how rows were made.

| name | for | honours loss flags |
|---|---|---|
| `trl-sft` | TRL's SFTTrainer, `messages` + `tools`, arguments as JSON strings | no |
| `trl-sft-objects` | the same for chat templates that print arguments with `tojson` (Qwen2.5, Llama 3) | no |
| `trl-prompt-completion` | TRL's SFTTrainer, a row for each reply | yes |
| `trl-dpo` | TRL's DPOTrainer, whole runs from where they part | by pair |
| `trl-dpo-step` | TRL's DPOTrainer, single replies at the fork | by pair |
| `trl-kto` | TRL's KTOTrainer, good and bad runs unpaired | from the first on |
| `rl-steps` | offline policy gradient: captured ids, log-probabilities, reward | every call |
| `sharegpt` | LLaMA-Factory, axolotl | no |
| `openai` | OpenAI fine-tuning JSON lines | yes, as `weight` |

Exporters never tokenise: that is the trainer's. LLaMA-Factory 0.9.5 overwrites an assistant's text beside a tool call,
and axolotl's multi-turn DPO needs `chat_template.default`: neither can be helped from here.
"""

from __future__ import annotations

from burnish_exporters.formats.pairs import Pair, length_auc, pair_report, run_pairs, step_pairs
from burnish_exporters.formats.registry import FORMATS, find_format
from burnish_exporters.formats.writing import to_dataset, write_lines

__all__ = [
    "FORMATS",
    "Pair",
    "find_format",
    "length_auc",
    "pair_report",
    "run_pairs",
    "step_pairs",
    "to_dataset",
    "write_lines",
]
