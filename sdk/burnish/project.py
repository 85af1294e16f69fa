"""Read burnish.toml: the declared agents, and how each is built, verified, trained and released.

`load_project` is the entry. This module defines every table and key with default, range and meaning;
imports/import_path.py resolves "module:function", settings.py the table `[burnish]`.

    [burnish]                      process settings, as in burnish.configure()
    [agent.support]                build, environment, verify, tasks, base_model, backend
    [agent.support.dataset]        and train, evaluate, gate, canary, loop
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from burnish import settings
from burnish.config import config_file
from burnish.config.decoding import Fault, decode_table, refuse_unknown, require_table
from burnish.config.evaluate_table import EvaluateConfig
from burnish.config.loop_table import LoopConfig
from burnish.config.nearest_names import suggest_name
from burnish.config.online_table import OnlineConfig
from burnish.config.tables import Count, Delay, Positive, Seconds, Share, Table
from burnish.errors import SettingsError, UnknownAgent
from burnish.files.paths import is_component

_FAULT = Fault()


class DatasetTable(Table, frozen=True, kw_only=True):
    """Rules for rows of a dataset version; the exporters' `Recipe` extends it."""

    max_per_task: Annotated[
        Positive | None, Meta(description="Largest number of rows of one task.")
    ] = 4
    min_rows: Annotated[
        Positive, Meta(description="Smallest number of training rows; fewer are an error.")
    ] = 1
    heldout_pools: Annotated[
        list[str], Meta(description="Pools of tasks that are never used for training.")
    ] = msgspec.field(default_factory=lambda: ["heldout", "standing", "capability"])
    heldout: Annotated[
        float,
        Meta(ge=0, le=1, description="Share of groups (task and user) held out from training."),
    ] = 0.0
    near_duplicates: Annotated[
        bool, Meta(description="Keep one of the runs with the same request and calls.")
    ] = False
    luck: Annotated[
        Literal["none", "observations", "siblings", "both"],
        Meta(
            description="Sign of luck that drops a run: its answer, or the results of other attempts."
        ),
    ] = "none"
    verifier_floor: Annotated[
        Share,
        Meta(
            description="Smallest lower bound of a verifier's measured precision for its verdicts to count."
        ),
    ] = 0.9
    mask_errors: Annotated[
        bool, Meta(description="Do not train on replies whose tool call failed.")
    ] = True
    redact: Annotated[
        Literal["none", "structured", "full"],
        Meta(description="Kinds of personal data and secrets that are replaced."),
    ] = "structured"


class DatasetConfig(DatasetTable, frozen=True, kw_only=True):
    """`[agent.NAME.dataset]`: rules for rows of a dataset version, and further keys of the recipe."""

    recipe: Annotated[
        dict[str, Any],
        Meta(description="Further options, by their names in the exporters' Recipe."),
    ] = msgspec.field(default_factory=dict[str, Any])


class TrainTable(Table, frozen=True, kw_only=True):
    """Settings of a training; the trainer's `Recipe` extends it."""

    rank: Annotated[int, Meta(ge=1, le=512, description="Rank of the LoRA matrices.")] = 16
    alpha: Annotated[
        float, Meta(ge=1e-3, le=4096, description="LoRA alpha; the scale is alpha / rank.")
    ] = 32.0
    epochs: Annotated[float, Meta(ge=1e-3, le=1000, description="Passes over the rows.")] = 3.0
    learning_rate: Annotated[float, Meta(ge=1e-9, le=1, description="Peak learning rate.")] = 2e-4
    batch_size: Annotated[int, Meta(ge=1, le=65536, description="Rows of one optimiser step.")] = 16
    max_length: Annotated[
        Positive | None, Meta(description="Longest row in tokens; by default the model's limit.")
    ] = None
    seed: Annotated[Count, Meta(description="Seed of order and initial weights.")] = 0
    objective: Annotated[
        Literal["sft", "dft", "rejection", "dpo", "kto", "orpo", "policy_gradient", "grpo"],
        Meta(
            description="Loss: imitation (sft, dft, rejection), preference of successes over failures (dpo, kto, orpo), policy gradient on logged runs, or on fresh attempts (grpo)."
        ),
    ] = "sft"
    per_task: Annotated[
        Positive,
        Meta(description="Most different successes of one task that rejection learns from."),
    ] = 4
    pairs: Annotated[
        Literal["step", "run"],
        Meta(
            description="Pairs of dpo and orpo: single replies where two runs part, or whole runs."
        ),
    ] = "step"
    pair_loss: Annotated[
        Literal["sigmoid", "ipo", "robust", "sft"], Meta(description="Form of dpo.")
    ] = "sigmoid"
    beta: Annotated[
        float, Meta(ge=1e-6, le=100, description="Strength of the preference in dpo, kto and orpo.")
    ] = 0.1
    clip: Annotated[
        float, Meta(gt=0, lt=1, description="How far policy_gradient lets a ratio move from 1.")
    ] = 0.2
    refuse_stale: Annotated[
        bool,
        Meta(description="Refuse policy_gradient on runs of a policy that has moved too far."),
    ] = True
    prefix_sharing: Annotated[
        Literal["auto", "off", "blocks", "mask", "depth_first"],
        Meta(
            description='Compute each distinct token of a step once: "auto" where it pays, or always in the named way.'
        ),
    ] = "auto"
    token_budget: Annotated[
        Positive | None,
        Meta(description="Most distinct tokens of one forward pass; by default a whole step."),
    ] = None
    patience: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="Evaluations of held-out rows without a lower loss after which a training stops; 0 never stops it.",
        ),
    ] = 3


class TrainConfig(TrainTable, frozen=True, kw_only=True):
    """`[agent.NAME.train]`: settings of a training, and the adapter that it starts from."""

    start: Annotated[
        Literal["current", "base"],
        Meta(
            description='"current" continues from the adapter in service, "base" starts from the base model.'
        ),
    ] = "current"
    recipe: Annotated[
        dict[str, Any],
        Meta(description="Further settings, by their names in the trainer's Recipe."),
    ] = msgspec.field(default_factory=dict[str, Any])


class GateConfig(Table, frozen=True, kw_only=True):
    """`[agent.NAME.gate]`: evidence required before an adapter may serve."""

    aim: Annotated[
        Literal["gain", "cost"],
        Meta(
            description='"gain": success rises. "cost": success stays within `margin` and the output tokens of a run fall.'
        ),
    ] = "gain"
    min_gain: Annotated[
        float, Meta(ge=-1, le=1, description="Required gain on held-out tasks.")
    ] = 0.0
    min_effect: Annotated[
        Share, Meta(description="Smallest gain that is worth a change; a smaller one is not.")
    ] = 0.01
    margin: Annotated[
        Share, Meta(description='Loss of success that the aim "cost" still allows.')
    ] = 0.05
    confidence: Annotated[
        float,
        Meta(
            gt=0.5,
            lt=1,
            description="Confidence in a promotion, over all decisions on one held-out set together.",
        ),
    ] = 0.95
    max_regression_rate: Annotated[
        Share,
        Meta(
            description="Largest share of solved tasks that may now fail, beyond those that the current version "
            "fails when it runs again."
        ),
    ] = 0.1
    max_capability_drop: Annotated[
        Share, Meta(description="Largest accepted loss on the capability pool.")
    ] = 0.05
    max_cost_ratio: Annotated[
        float,
        Meta(gt=0, description="Largest accepted cost of a run, relative to the current adapter."),
    ] = 1.5
    max_latency_ratio: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="Largest duration of a run, as a multiple of before; none is off."),
    ] = None
    max_infrastructure_errors: Annotated[
        Share,
        Meta(description="Largest accepted share of attempts lost to errors of the backend."),
    ] = 0.02
    max_unknown: Annotated[
        Share, Meta(description="Largest share of attempts that no verifier could decide.")
    ] = 0.1


class GuardsConfig(Table, frozen=True, kw_only=True):
    """`[agent.NAME.canary.guards]`: metrics besides success that roll a canary back."""

    errors: Annotated[bool, Meta(description="Watch the share of threads with a failed run.")] = (
        True
    )
    max_tokens: Annotated[
        Positive | None,
        Meta(description="Tokens of a thread above which it counts as too costly; by default off."),
    ] = None
    max_latency_s: Annotated[
        Seconds | None,
        Meta(description="Seconds of a run above which it counts as too slow; by default off."),
    ] = None


class CanaryConfig(Table, frozen=True, kw_only=True):
    """`[agent.NAME.canary]`: how an adapter is rolled out to live traffic."""

    decides: Annotated[
        str | None,
        Meta(description="Outcome source or verifier that decides; unset disables the canary."),
    ] = None
    steps: Annotated[
        list[Share],
        Meta(min_length=1, description="Shares of threads, step by step; the last is 1."),
    ] = msgspec.field(default_factory=lambda: [0.01, 0.05, 0.25, 0.5, 1.0])
    min_threads: Annotated[
        Positive, Meta(description="Smallest number of judged canary threads before a promotion.")
    ] = 50
    margin: Annotated[
        float,
        Meta(gt=0, lt=1, description="Largest loss of success that does not prevent a promotion."),
    ] = 0.05
    alpha: Annotated[
        float,
        Meta(gt=0, lt=0.5, description="Probability of a false alarm over the whole rollout."),
    ] = 0.05
    maturity_s: Annotated[
        Delay | None,
        Meta(
            description="Seconds to wait for a thread's outcome; unset learns them from the stable arm, 0 judges a thread at its outcome."
        ),
    ] = None
    max_threads: Annotated[
        Positive, Meta(description="Number of judged threads after which an open rollout pauses.")
    ] = 8000
    max_days: Annotated[
        float, Meta(gt=0, description="Days after which an open rollout pauses.")
    ] = 14.0
    holdback: Annotated[
        float,
        Meta(ge=0, lt=0.5, description="Share that stays on the previous version after promotion."),
    ] = 0.05
    guards: Annotated[GuardsConfig, Meta(description="Further reasons to roll back.")] = (
        GuardsConfig()
    )


class AgentConfig(Table, frozen=True, kw_only=True):
    """`[agent.NAME]`: one agent."""

    name: str  # the NAME of the table
    build: Annotated[
        str, Meta(description='"module:function" that takes a chat model and returns a graph.')
    ]
    base_model: Annotated[
        str, Meta(description="Model that adapters are trained for: a folder or a known name.")
    ]
    backend: Annotated[
        str, Meta(description='Backend: "embedded", or the URL of an inference server.')
    ] = "embedded"
    environment: Annotated[
        str | None,
        Meta(
            description='"module:function" that creates the environment of one attempt, or "replay", "shadow", "live".'
        ),
    ] = None
    writing_tools: Annotated[
        list[str],
        Meta(
            description='Tools that change something; `environment = "shadow"` never runs them, only replays them.'
        ),
    ] = msgspec.field(default_factory=list[str])
    verify: Annotated[
        list[str | dict[str, Any]],
        Meta(
            description='Verifiers that select training runs: "outcome", or { goal_state = "module:function" }.'
        ),
    ] = msgspec.field(default_factory=list[str | dict[str, Any]])
    prove: Annotated[
        list[str | dict[str, Any]],
        Meta(
            description="Verifiers that grade evaluations, and so decide at the gate; by default those of `verify` that "
            "need no outcome."
        ),
    ] = msgspec.field(default_factory=list[str | dict[str, Any]])
    trust_received: Annotated[
        list[str],
        Meta(
            description="Names whose received or imported facts decide: sources of outcomes, names of verifiers, "
            '"state" for final states, "runs" for runs that a canary may count.'
        ),
    ] = msgspec.field(default_factory=list[str])
    tasks: Annotated[
        str | list[str] | None,
        Meta(description='Tasks: "module:function", a task file or folder, or a list of them.'),
    ] = None
    prompts: Annotated[
        dict[str, str],
        Meta(
            description='The agent\'s own prompts by name, where `burnish optimize-prompt` begins: a text file, or "module:NAME".'
        ),
    ] = msgspec.field(default_factory=dict[str, str])
    dataset: DatasetConfig = DatasetConfig()
    train: TrainConfig = TrainConfig()
    online: OnlineConfig = OnlineConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    gate: GateConfig = GateConfig()
    canary: CanaryConfig = CanaryConfig()
    loop: LoopConfig = LoopConfig()


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of a burnish.toml."""

    path: Path
    agents: dict[str, AgentConfig]
    settings: dict[str, Any]

    @property
    def folder(self) -> Path:
        """The folder of burnish.toml; import paths are relative to it."""
        return self.path.parent

    def agent(self, name: str) -> AgentConfig:
        """Return the table of one agent.

        Raises:
            UnknownAgent: If burnish.toml declares no agent of that name.
        """
        if name in self.agents:
            return self.agents[name]
        raise UnknownAgent(
            f"agent {name!r} is not in {self.path}",
            suggest_name(name, self.agents) if self.agents else "at least one table [agent.NAME]",
            f'write [agent.{name}] with build = "module:function" into {self.path.name}',
        )


def load_project(path: Path | None = None) -> Project:
    """Read burnish.toml: the given one, the configured one, or the nearest one upwards.

    Its table `[burnish]` becomes the process's settings, below configure() and environment.

    Raises:
        SettingsError: If no file is found, or a key or value in it is wrong.
    """
    found = (
        Path(path) if path is not None else settings.current().config or config_file.find_config()
    )
    if found is None:
        raise SettingsError(
            f"no {config_file.NAME} in {Path.cwd()} or above",
            "one that declares the agents",
            "burnish init, or burnish.configure(config=...)",
        )
    found = found.expanduser().absolute()
    if found.is_dir():
        found /= config_file.NAME
    tables = config_file.read_tables(found)
    refuse_unknown(tables, ("agent", "burnish"), str(found))
    settings.use_file(found, tables)
    agents = {
        name: decode_agent(name, table, f"{found}, [agent.{name}]")
        for name, table in require_table(tables.get("agent", {}), f"{found}, [agent]").items()
    }
    return Project(path=found, agents=agents, settings=dict(tables.get("burnish", {})))


def read_trusted_sources(agent: str) -> tuple[str, ...]:
    """Return the names whose received and imported facts decide for an agent.

    Raises:
        SettingsError: If burnish.toml cannot be read, or names them in another form.
    """
    found = settings.current().config or config_file.find_config()
    if found is None:
        return ()
    found = found / config_file.NAME if found.is_dir() else found
    agents = config_file.read_tables(found).get("agent", {})
    table = agents.get(agent, {}) if isinstance(agents, dict) else {}
    names = table.get("trust_received", []) if isinstance(table, dict) else []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SettingsError(
            f"{found}, [agent.{agent}]: trust_received is {names!r}",
            "a list of names of sources",
            "edit the file",
        )
    return tuple(names)


def describe_keys() -> list[tuple[str, str, str, Any, str]]:
    """Describe every key: table, key, type, default and meaning; a required key has `...` as default."""
    rows = [("burnish", *row) for row in settings.describe()]
    return rows + list(_describe_table("agent.NAME", AgentConfig))


def _describe_table(where: str, table: type[Table]) -> Iterable[tuple[str, str, str, Any, str]]:
    nested = []
    for field in msgspec.structs.fields(table):
        default = ... if field.required else field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        info = msgspec.inspect.type_info(field.type)
        if isinstance(default, Table):
            nested.append((f"{where}.{field.name}", type(default)))
        elif field.name != "name":
            yield where, field.name, _type_name(info), default, _read_description(info)
    for inner, inner_table in nested:
        yield from _describe_table(inner, inner_table)


def _read_description(info: msgspec.inspect.Type) -> str:
    if isinstance(info, msgspec.inspect.Metadata):
        own = (info.extra_json_schema or {}).get("description")
        return own or _read_description(info.type)
    return ""


def _type_name(info: msgspec.inspect.Type) -> str:
    if isinstance(info, msgspec.inspect.Metadata):
        return _type_name(info.type)
    if isinstance(info, msgspec.inspect.UnionType):
        return " | ".join(_type_name(part) for part in info.types)
    if isinstance(info, msgspec.inspect.ListType):
        return f"list of {_type_name(info.item_type)}"
    return type(info).__name__.removesuffix("Type").lower()


def decode_agent(name: str, given: object, where: str, fault: Fault = _FAULT) -> AgentConfig:
    """Return the table of an agent.

    Raises:
        SettingsError: If the name, a key or a value is wrong.
    """
    if not is_component(name):
        raise SettingsError(
            f"{where}: agent name {name!r}",
            "a name that can be part of a file's name, without '/', '\\' and control characters",
            "edit the file",
        )
    agent = decode_table(given, AgentConfig, where, hidden=("name",), fault=fault, name=name)
    check_steps(agent.canary, where, "edit the file")
    return agent


def check_steps(config: CanaryConfig, where: str, fix: str) -> None:
    """Check that a canary has threads of both versions to compare, and more of its own at each step.

    Args:
        config: Settings of the canary.
        where: Their place, for the error.
        fix: What to do, for the error.

    Raises:
        SettingsError: If they do not.
    """
    steps = config.steps
    if steps != sorted(set(steps)) or steps[:1] in ([], [0]) or steps[-1] != 1.0 or len(steps) == 1:
        raise SettingsError(
            f"{where}: canary.steps is {steps}",
            "growing shares below 1.0, and 1.0 at the end",
            fix,
        )
