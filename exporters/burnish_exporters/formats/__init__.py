"""Write rows in the form of each consumer: one file per consumer, found by name.

`find_format()` (registry.py) finds a format; exporting.py and writing.py turn it into a
`datasets.Dataset`, a stream or a file of JSON lines.

| name | for | honours loss flags |
|---|---|---|
| `trl-sft` | TRL's SFTTrainer, `messages` + `tools` | no |
| `trl-prompt-completion` | TRL's SFTTrainer, a row for each reply | yes |
| `trl-dpo` | TRL's DPOTrainer, whole runs from the point where they part | by pair |
| `trl-dpo-step` | TRL's DPOTrainer, single replies at the fork | by pair |
| `trl-kto` | TRL's KTOTrainer, good and bad runs unpaired | from the first on |
| `...-strings` | each of these with arguments as JSON text instead of objects | as above |
| `trl-prm` | process reward models: the steps of runs, each with a label | as label |
| `rl-steps` | offline policy gradient: captured ids, log-probabilities, reward | every call |
| `sharegpt` | LLaMA-Factory | no |
| `sharegpt-dpo` | LLaMA-Factory's preferences (`ranking`) | by pair |
| `swift` | ms-swift | yes, as `loss` |
| `verl` | verl's multi-turn SFT, as Parquet | rows that need them are left out |
| `openai` | OpenAI fine-tuning JSON lines, axolotl | yes, as `weight` |
| `openai-dpo` | preferences of OpenAI and Together | by pair |
| `adp` | Agent Data Protocol, a form for exchanging agent training sets | in `details` |
| `atif` | Agent Trajectory Interchange Format of Harbor | as `extra` and `is_copied_context` |

Exporters never tokenise; the trainer does. `template_check` reports which of the formats a chat
template renders as served.
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
