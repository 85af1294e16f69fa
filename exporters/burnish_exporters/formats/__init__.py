"""How consumers want rows: one file per consumer, found by name.

Knows: the formats, and how a rendered format becomes a `datasets.Dataset`, a stream or a file of JSON lines.
Does not know: how rows were made.

| name | for | honours loss flags |
|---|---|---|
| `trl-sft` | TRL's SFTTrainer, `messages` + `tools`, arguments as JSON strings | no |
| `trl-sft-objects` | the same with arguments as objects, which most chat templates want (docs/formats.md) | no |
| `trl-prompt-completion` | TRL's SFTTrainer, a row for each reply | yes |
| `trl-dpo` | TRL's DPOTrainer, whole runs from where they part | by pair |
| `trl-dpo-step` | TRL's DPOTrainer, single replies at the fork | by pair |
| `trl-kto` | TRL's KTOTrainer, good and bad runs unpaired | from the first on |
| `trl-prm` | process reward models: the steps of runs, each with a label | as label |
| `rl-steps` | offline policy gradient: captured ids, log-probabilities, reward | every call |
| `sharegpt` | LLaMA-Factory, axolotl | no |
| `openai` | OpenAI fine-tuning JSON lines | yes, as `weight` |
| `adp` | Agent Data Protocol, the form that agent training sets are exchanged in | in `details` |
| `atif` | Agent Trajectory Interchange Format of Harbor | as `extra` and `is_copied_context` |

Exporters never tokenise: that is the trainer's. LLaMA-Factory 0.9.5 overwrites an assistant's text beside a tool call,
and axolotl's multi-turn DPO needs `chat_template.default`: neither can be helped from here.
"""

from __future__ import annotations

from burnish_exporters.formats.contrast import length_auc, pair_report
from burnish_exporters.formats.exporting import Export, ExportReport
from burnish_exporters.formats.pairs import Pair, run_pairs, step_pairs
from burnish_exporters.formats.registry import FORMATS, find_format

__all__ = [
    "FORMATS",
    "Export",
    "ExportReport",
    "Pair",
    "find_format",
    "length_auc",
    "pair_report",
    "run_pairs",
    "step_pairs",
]
