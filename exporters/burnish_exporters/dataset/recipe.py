"""Define the recipe: every choice that shapes a dataset version, with defaults and ranges."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from burnish.config.decoding import Fault, decode_table, require_table
from burnish.errors import ExportError
from burnish.project import DatasetTable, Positive, Share
from burnish.records import DatasetManifest

_HELP = "help(burnish_exporters.Recipe)"
_FAULT = Fault(ExportError, _HELP, _HELP)


class Recipe(DatasetTable, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The choices that shape a dataset version. The recipe is part of the version's hash.

    Nine of its fields are keys of `[agent.NAME.dataset]`: `DatasetTable` defines them with defaults and ranges.

    Attributes:
        max_per_task: Most runs of one task; None keeps all.
        min_rows: Fewer training rows than this are an error.
        heldout: Share of groups (task, and user where known) that goes to the split "heldout".
        heldout_since: ISO date or time; runs from then on form the split "temporal".
        heldout_pools: Pools of tasks that never enter a dataset.
        refuse_tasks: Hashes (`task_hash`) of tasks that never enter a dataset.
        refuse_requests: Hashes (`request_hash`) of requests that never enter a dataset, under any task id.
        refuse_similar: Sketches (`request_sketch`) of requests; one with a word more or less never enters either.
        benchmarks: Files whose texts no training request may overlap with (same, 13 words in a row, nearly the same).
        sources: Sources of runs that may be trained on.
        near_duplicates: Keep one of the runs with the same request and calls, up to times and generated ids.
        luck: "observations" drops runs whose answer has no support in what they observed, "siblings" those that went
            through a state from which most other attempts at the task failed, "both" drops both.
        replay: Import path of a function that replays a run and yields if it reached the goal; runs that mostly fail again
            are dropped.
        ambiguous: "drop" or "keep" runs whose verifiers disagree, or of which one cannot decide.
        max_repeated_calls: Most calls of a run that repeat an earlier one (same tool, arguments and result); None: no limit.
        scorer: Import path of a function `(text, continuation) -> log-probabilities`; runs with a call that gains less
            than `min_call_gain` by it are dropped.
        min_call_gain: Least gain of a call, in nats.
        max_message_chars: Longest text of a message; a run with a longer one is dropped. None sets no limit.
        critical_steps: Share of a run's calls that carry loss: the decisive ones, measured on other attempts at the task.
        tool_docs: JSON file with a text for each tool name, written into the system message.
        tool_docs_share: Share of runs that receive these texts.
        general: Files of chat rows, one a line, that are mixed into training under the tag and source "general".
        general_share: Their share of the training rows.
        max_external: Largest share of training runs from demonstrations and teachers.
        min_external: Least share of training runs from external sources; less is an error.
        kinds: Kinds of task that the set should cover; the manifest warns of missing ones.
        rare_below: Share of training runs below which a kind of task is tagged "rare".
        licenses: Licences of the data, as SPDX ids, written into manifest and card.
        rights: What the data may be used for, such as "consent:2026-05" or "internal", written into manifest and card.
        verifier_floor: Least lower bound of a verifier's measured precision at which its success admits a run.
        mask_errors: A reply whose tool call failed carries no loss.
        weigh: "task" gives each task the same total weight, "kind" each kind of task, up to four times its own.
        contrast: Keep verified failures too, apart from the rows, as the rejected side of preference pairs.
        redact: "structured" replaces personal data and secrets that have a fixed form, "full" asks Presidio and detect-secrets
            too, "none" keeps everything.
        redact_patterns: Further kinds to replace, each with its regular expression; a text that takes one more than a
            second is withheld, word by word.
        redact_terms: Further kinds to replace, each with a file of its terms, one a line.
        names_model: spaCy model that finds names of people, with "full".
        steps: Your own curation steps, by import path.
    """

    heldout_since: str | None = None
    refuse_tasks: list[str] = msgspec.field(default_factory=list[str])
    refuse_requests: list[str] = msgspec.field(default_factory=list[str])
    refuse_similar: list[str] = msgspec.field(default_factory=list[str])
    benchmarks: list[str] = msgspec.field(default_factory=list[str])
    sources: list[str] = msgspec.field(
        default_factory=lambda: ["production", "rollout", "demonstration", "teacher"]
    )
    replay: str | None = None
    ambiguous: Literal["drop", "keep"] = "drop"
    max_repeated_calls: Annotated[int, Meta(ge=0)] | None = None
    scorer: str | None = None
    min_call_gain: float = 0.5
    max_message_chars: Positive | None = 1_000_000
    critical_steps: Annotated[float, Meta(gt=0, le=1)] | None = None
    tool_docs: str | None = None
    tool_docs_share: Share = 0.5
    general: list[str] = msgspec.field(default_factory=list[str])
    general_share: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    max_external: Share = 1.0
    min_external: Share = 0.0
    kinds: list[str] = msgspec.field(default_factory=list[str])
    rare_below: Share = 0.05
    weigh: Literal["none", "task", "kind"] = "none"
    contrast: bool = False
    redact_patterns: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    redact_terms: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    names_model: str | None = None
    steps: list[str] = msgspec.field(default_factory=list[str])
    licenses: list[str] = msgspec.field(default_factory=list[str])
    rights: list[str] = msgspec.field(default_factory=list[str])

    def luck_signs(self) -> frozenset[str]:
        """Return the signs of luck that the recipe looks for: observations, siblings."""
        both = ("observations", "siblings")
        return frozenset(both if self.luck == "both" else {self.luck} & {*both})

    def needs_failures(self) -> bool:
        """Report if a step, or the version itself, uses verified failures too."""
        return self.contrast or "siblings" in self.luck_signs() or self.critical_steps is not None

    def compared_fields(self) -> frozenset[str]:
        """Return the fields that the steps over the whole set compare: request, actions."""
        apart = self.heldout or self.heldout_since is not None or self.benchmarks
        alike = "siblings" in self.luck_signs() or self.critical_steps is not None
        asked = {"request": bool(apart), "actions": alike or bool(self.steps)}
        return frozenset(name for name, wanted in asked.items() if wanted or self.steps)

    def content_files(self) -> list[str]:
        """Return the files whose content shapes the version."""
        named = [self.tool_docs] if self.tool_docs else []
        return [*named, *self.general, *self.benchmarks, *self.redact_terms.values()]

    def since_ns(self) -> int | None:
        """Return the beginning of the temporal hold-out, in nanoseconds since the epoch.

        Raises:
            ExportError: If `heldout_since` is not an ISO date or time.
        """
        if self.heldout_since is None:
            return None
        try:
            moment = dt.datetime.fromisoformat(self.heldout_since)
        except ValueError as problem:
            raise ExportError(
                f"heldout_since is {self.heldout_since!r}", "an ISO date or time", "2026-11-01"
            ) from problem
        return int((moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp() * 1e9)


def as_recipe(given: Any) -> Recipe:
    """Return a recipe from a recipe, a mapping, a struct with some of its fields, or None.

    Raises:
        ExportError: If a key is unknown or a value is out of range.
    """
    if given is None:
        return Recipe()
    if isinstance(given, Recipe):
        return given
    if isinstance(given, msgspec.Struct):
        given = msgspec.structs.asdict(given)
    elif dataclasses.is_dataclass(given) and not isinstance(given, type):
        given = dataclasses.asdict(given)
    table = require_table(given, "recipe", _FAULT)
    further = table.pop("recipe", {})  # burnish.toml may hold further keys in a table of this name
    return decode_table({**table, **further}, Recipe, "recipe", fault=_FAULT)


def read_recipe(manifest: DatasetManifest) -> Recipe:
    """Return the recipe of a published version.

    Raises:
        ExportError: If this version of burnish does not know one of its keys.
    """
    known = {key: value for key, value in manifest.recipe.items() if key not in ("agent", "verify")}
    return as_recipe(known)
