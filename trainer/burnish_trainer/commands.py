"""Define `burnish eval` and `burnish demo`, and list the other commands of the trainer.

Exit codes: 0 done, 1 a burnish error that names the next command, 2 wrong usage, 3 the gate did not promote, 130 interrupted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import typer

from burnish.cli.options import AsJson, Home
from burnish.cli.output import print_json
from burnish.files.output_files import check_output, write_output
from burnish_trainer.prompts.commands import optimize_app, start_app
from burnish_trainer.readiness.command import readiness_app
from burnish_trainer.round_commands import (
    NOT_PROMOTED,
    loop_app,
    plan_app,
    retrain_app,
    rounds_app,
)
from burnish_trainer.tasks.commands import app as tasks_app

__all__ = ["COMMANDS", "demo_app", "eval_app", "retrain_app"]

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress.")]


Version = Annotated[
    str | None, typer.Option(help="Version to measure; by default the one in service.")
]
Against = Annotated[
    str | None, typer.Option(help="Version to compare with; by default the base model.")
]
Prompt = Annotated[
    str | None, typer.Option(help="Prompt version to measure; by default the agent's own text.")
]
AgainstPrompt = Annotated[
    str | None,
    typer.Option(help="Prompt version to compare with; by default the agent's own text."),
]
Pool = Annotated[
    list[str] | None, typer.Option(help="Only these pools: heldout, standing, capability.")
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Repeat all attempts, including those with cached results.")
]
Arms = Annotated[
    bool,
    typer.Option(
        "--arms", help="Measure base, base with the prompt, adapter, and both; decide nothing."
    ),
]
Register = Annotated[
    bool, typer.Option("--register", help="Register the measured version with the gate's decision.")
]

eval_app = typer.Typer()
"""The command `burnish eval`."""


@eval_app.command("eval")
def run_evaluation(
    agent: Annotated[str, typer.Argument(help="Agent, as declared in burnish.toml.")],
    adapter: Version = None,
    against: Against = None,
    prompt: Prompt = None,
    against_prompt: AgainstPrompt = None,
    pool: Pool = None,
    arms: Arms = False,
    register: Register = False,
    fresh: Fresh = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Run the agent with two versions on the same tasks and compare them.

    Results are cached until the agent, the backend, the tasks or the verifiers change. `burnish report` shows the rest of
    what was measured.

    Examples: `burnish eval support`, `burnish eval support --fresh`, `burnish eval support --adapter support@0a1b2c3d4e5f --json`,
    `burnish eval support --arms --prompt support-prompt@0a1b2c3d4e5f`
    """
    from burnish import configure
    from burnish_trainer import console
    from burnish_trainer.evaluation.agent_project import POOLS, load_agent
    from burnish_trainer.evaluation.attempts.arm_version import ArmVersion
    from burnish_trainer.prompts.four_arms import evaluate_arms, tabulate_arms
    from burnish_trainer.release import choose_version

    if home is not None:
        configure(home=home)
    subject = load_agent(agent)
    tasks = {name: subject.tasks(name) for name in pool or POOLS}
    after = choose_version(subject, adapter, prompt)
    if arms:
        with console.silenced(as_json):
            found = evaluate_arms(subject, after, tasks, fresh=fresh)
        _show_arms(subject.name, tabulate_arms(found), as_json)
        return
    versions = (ArmVersion(against, against_prompt), after)
    _evaluate_pair(subject, versions, tasks, (fresh, register, as_json))


def _evaluate_pair(
    subject: Any, versions: Any, tasks: Any, choices: tuple[bool, bool, bool]
) -> None:
    """Compare two versions, let the gate decide, and show both; choices are fresh, register and as JSON."""
    from burnish_trainer import console
    from burnish_trainer.evaluation.history.store import save_evaluation
    from burnish_trainer.evaluation.power import describe_power
    from burnish_trainer.evaluation.runner import evaluate, select_pools
    from burnish_trainer.heldout_uses import decide_and_record
    from burnish_trainer.prompts.registration import register_evaluated

    (fresh, register, as_json), rules = choices, subject.config.gate
    home_folder = subject.workspace.home
    heldout = select_pools(subject, tasks).get("heldout", [])
    with console.silenced(as_json):
        if heldout:
            console.say("{}", describe_power(home_folder, subject.name, heldout, rules))
        adapters, prompts = zip(*versions, strict=True)
        found = evaluate(subject, adapters=adapters, prompts=prompts, tasks=tasks, fresh=fresh)
    decision = None
    if "heldout" in found.pools:
        decision = decide_and_record(home_folder, found, rules)
        save_evaluation(home_folder, found, decision)
        if register:
            register_evaluated(subject, found, decision)
    if as_json:
        print_json({**msgspec.to_builtins(found), "decision": msgspec.to_builtins(decision)})
    else:
        _print_evaluation(found)
        if decision is not None:
            console.say("[bold]{}[/]: {}", decision.decision, "; ".join(decision.reasons))
    if decision is not None and decision.decision != "promote":
        raise typer.Exit(NOT_PROMOTED)


def demo_app(
    rounds: Annotated[int, typer.Option(min=1, max=20, help="Rounds of retraining.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of tasks, sampling and training.")] = 0,
    verify: Annotated[
        Literal["goal_state", "claim"],
        typer.Option(help="Verifier of the dataset: the goal state, or the agent's own claim."),
    ] = "goal_state",
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Write the facts to this file, as JSON.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write the page with pictures to this file.")
    ] = None,
    home: Annotated[Path, typer.Option(help="Folder that holds the demos.")] = Path(
        ".burnish-demo"
    ),
) -> None:
    """Show the whole loop on the bundled model: no key, no GPU, no network.

    The demo shows an agent that fails often, one retrain, an agent that seldom fails, a canary that promotes it, and a
    bad adapter that is rolled back automatically. An interrupted demo continues where it stopped.

    Examples: `burnish demo`, `burnish demo --rounds 3 --json facts.json`, `burnish demo --verify claim`
    """
    from burnish_trainer.demo import DemoOptions, run_demo
    from burnish_trainer.run.storage import encode_json

    for path, name in ((json_path, "--json"), (html, "--html")):
        if path is not None:
            check_output(path.expanduser(), name)
    check_output(home.expanduser(), "--home", folder=True)
    facts = run_demo(DemoOptions(rounds=rounds, seed=seed, verify=verify, home=home, html=html))
    if json_path is not None:
        write_output(json_path.expanduser(), encode_json(facts), "--json")


def _show_arms(agent: str, rows: list[dict[str, Any]], as_json: bool) -> None:
    from burnish.cli.output import print_table

    if as_json:
        print_json(rows)
        return
    columns = ["pool", "arm", "success", "gain over the base", "p"]
    cells = [(r["pool"], r["arm"], r["success"], r["gain"], r["p_value"]) for r in rows]
    print_table(f"arms of {agent}", columns, cells)


def _print_evaluation(found: Any) -> None:
    from burnish.cli.output import print_table
    from burnish_trainer import console
    from burnish_trainer.evaluation.attempts.arm_version import read_versions
    from burnish_trainer.evaluation.notes import evaluation_notes

    def told(rate: Any) -> str:
        return f"{100 * rate.rate:.1f} % [{100 * rate.low:.0f}, {100 * rate.high:.0f}]"

    rows = [
        (
            name,
            told(pool.before),
            told(pool.after),
            f"{100 * pool.gain:+.1f} [{100 * pool.ci95[0]:+.1f}, {100 * pool.ci95[1]:+.1f}]",
            pool.won,
            pool.lost,
            f"{pool.p_value:.2g}",
        )
        for name, pool in found.pools.items()
    ]
    before, after = (version.label for version in read_versions(found))
    columns = ["pool", before, after, "gain", "won", "lost", "p"]
    print_table(f"{found.agent} on {found.base_model}", columns, rows)
    for line in evaluation_notes(found):
        console.say(f"  {line}")
    console.say("  {}", f"burnish report {found.agent} shows everything that was measured")


def merge_app(
    version: Annotated[str, typer.Argument(help="An adapter version, as support@4f1c2a90b3e0.")],
    out: Annotated[Path, typer.Argument(help="The new folder of the merged model.")],
    base_model: Annotated[
        str | None,
        typer.Option(help="Folder of the base model; by default as the version names it."),
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Write an adapter version and its base model as one model, which serves as base_model.

    Example: `burnish adapters merge support@4f1c2a90b3e0 merged`
    """
    from burnish.adapters import AdapterStore
    from burnish.workspace import Workspace
    from burnish_trainer.recipes.merging import merge_version

    check_output(out, f"burnish adapters merge {version}", folder=True)
    written = merge_version(AdapterStore(Workspace(home).home), version, out, base_model)
    print_json({"model": str(written)}) if as_json else typer.echo(str(written))


COMMANDS = {
    "canary.start": start_app,
    "optimize-prompt": optimize_app,
    "adapters.merge": merge_app,
    "loop": loop_app,
    "plan": plan_app,
    "readiness": readiness_app,
    "rounds": rounds_app,
    "tasks": tasks_app,
}
"""Commands beside those that the installation names."""
