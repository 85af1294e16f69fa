"""Define `burnish tasks`: list, show, check, add, from-traces, refresh."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import typer

from burnish.cli.options import AsJson, Home
from burnish.cli.output import parse_moment, print_json, print_table, shorten_text
from burnish.errors import EvaluationError

if TYPE_CHECKING:
    from burnish_trainer.evaluation.agent_project import AgentProject
    from burnish_trainer.tasks.editing import WrittenTasks
    from burnish_trainer.tasks.from_traces import TaskSample

app = typer.Typer(help="Make, refresh and check task sets.", no_args_is_help=True)

Agent = Annotated[str, typer.Argument(help="Agent, as declared in burnish.toml.")]
PoolName = Literal["train", "heldout", "standing", "capability"]
PoolOption = Annotated[PoolName, typer.Option("--pool", help="Pool of the tasks.")]
Source = Annotated[str, typer.Option(help='Source of the runs; "all" takes every one.')]
Since = Annotated[
    str | None, typer.Option(help="Only runs started since then: 6h, 2d or 2026-11-28.")
]
Seed = Annotated[int, typer.Option(min=0, help="Chooses among the runs.")]


@app.command("list")
def list_sets(agent: Agent, home: Home = None, as_json: AsJson = False) -> None:
    """List the task sets: size, kinds, tags and hash of each pool, and the version of the files.

    Example: `burnish tasks list support`
    """
    from burnish_trainer.tasks.listing import describe_agent_sets

    found = describe_agent_sets(_load(agent, home))
    if as_json:
        print_json(found)
        return
    columns = ["pool", "tasks", "retired", "kinds", "tags", "hash"]
    print_table(
        f"task sets of {agent}",
        columns,
        [[one[name] for name in columns] for one in found["pools"]],
    )
    for version in found["versions"]:
        changed = "" if version["current"] else "; changed since"
        typer.echo(f"{version['folder']}: version {version['version']} of {version['at']}{changed}")


@app.command("show")
def show_task(
    agent: Agent,
    task: Annotated[str, typer.Argument(help="Id of a task.")],
    home: Home = None,
) -> None:
    """Print a task as JSON, with its pool and the run that it was made from.

    Example: `burnish tasks show support refund-17`
    """
    from burnish_trainer.tasks.listing import find_task

    print_json(find_task(_load(agent, home), task))


@app.command("check")
def check_task_sets(agent: Agent, home: Home = None, as_json: AsJson = False) -> None:
    """Check the task sets; exit code 1 for wrong lines, tasks in training data, and tasks in two pools.

    Example: `burnish tasks check support`
    """
    from burnish_trainer.tasks.set_check import check_sets, list_findings

    found = check_sets(_load(agent, home))
    if as_json:
        missing = found.missing_slices
        print_json({"sound": found.sound, **msgspec.to_builtins(found), "missing_slices": missing})
    else:
        print_table(f"task sets of {agent}", ["what", "found", "try"], list_findings(found, agent))
    if not found.sound:
        raise typer.Exit(1)


@app.command("add")
def add_task(
    agent: Agent,
    trajectory: Annotated[str, typer.Argument(help="Id of a run, or its beginning.")],
    pool: PoolOption = "standing",
    tag: Annotated[list[str] | None, typer.Option(help="Slice of the task, such as edge.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make a task of a recorded run, such as one that failed.

    Example: `burnish tasks add support 5c0e4f --pool standing --tag edge`
    """
    from burnish_trainer.tasks.editing import add_run

    _print_written(agent, add_run(_load(agent, home), trajectory, pool, tag or ()), None, as_json)


@app.command("from-traces")
def make_from_traces(
    agent: Agent,
    pool: PoolOption = "heldout",
    count: Annotated[int, typer.Option(min=1, help="Number of tasks.")] = 50,
    source: Source = "production",
    since: Since = None,
    seed: Seed = 0,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make tasks from recorded runs: a sample by kind, redacted, without near duplicates and training data.

    Example: `burnish tasks from-traces support --pool heldout --count 100 --since 14d`
    """
    from burnish_trainer.tasks.editing import add_rows
    from burnish_trainer.tasks.from_traces import sample_tasks

    subject = _load(agent, home)
    moment = parse_moment(since, "--since") if since else None
    measured = pool != "train"
    sample = sample_tasks(
        subject, count, source=source, since_ns=moment, seed=seed, measured=measured
    )
    if not sample.rows:
        raise EvaluationError(
            f"{sample.runs} runs give no new task (left out: {_join_counts(sample.left_out)})",
            "finished runs whose requests are neither tasks nor training data",
            f"burnish traces list --agent {agent}, or --source all",
        )
    _print_written(agent, add_rows(subject, pool, sample.rows), sample, as_json)


@app.command("refresh")
def refresh_tasks(
    agent: Agent,
    count: Annotated[
        int | None, typer.Option(min=1, help="Number of fresh tasks; by default as many as before.")
    ] = None,
    source: Source = "production",
    since: Since = None,
    seed: Seed = 0,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Exchange the held-out tasks for fresh ones from recorded runs; the old ones are retired.

    Decisions of the gate are counted by the tasks that they used, so the next one on the fresh set is the first.

    Example: `burnish tasks refresh support`
    """
    from burnish_trainer.tasks.editing import refresh_heldout

    moment = parse_moment(since, "--since") if since else None
    written, sample = refresh_heldout(
        _load(agent, home), count, source=source, since_ns=moment, seed=seed
    )
    _print_written(agent, written, sample, as_json)


def _load(agent: str, home: Any) -> AgentProject:
    from burnish import configure, flush
    from burnish_trainer.evaluation.agent_project import load_agent

    if home is not None:
        configure(home=home)
    flush()
    return load_agent(agent)


def _print_written(
    agent: str, written: WrittenTasks, sample: TaskSample | None, as_json: bool
) -> None:
    if as_json:
        facts = {**written._asdict(), "path": str(written.path)}
        counts = (
            {} if sample is None else {k: v for k, v in sample._asdict().items() if k != "rows"}
        )
        print_json({**facts, "version": msgspec.to_builtins(written.version), **counts})
        return
    retired = f", {written.retired} retired" if written.retired else ""
    typer.echo(f"{written.added} tasks written to {written.path}{retired}")
    if sample is not None:
        typer.echo(f"kinds: {shorten_text(_join_counts(sample.kinds), 200)}")
        typer.echo(f"left out of {sample.runs} runs: {_join_counts(sample.left_out)}")
    if not written.named:
        typer.echo(
            f'add "{written.path.parent.name}/" to `tasks` in [agent.{agent}] of burnish.toml'
        )


def _join_counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.items()) or "none"
