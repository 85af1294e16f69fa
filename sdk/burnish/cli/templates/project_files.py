"""Render the files that `burnish init` writes: burnish.toml, checks.py, tasks.py, agent.py.

`render_template` fills a template in. Each file loads and runs unchanged; its comments say what to
replace.
"""

from __future__ import annotations

import json
from string import Template

BURNISH_TOML = """\
# What burnish needs to know of this project. Import paths ("module:function") start in this folder.
# `burnish doctor --keys` lists every key with its default; `burnish doctor` checks this file.

[agent.$agent]
# A function that gets a chat model and returns the graph. burnish calls it with other models.
build = $graph
# The model that adapters are trained for: a folder with a Hugging Face model that the project may
# train. "starter" is the bundled model of two million parameters: good for a first try of the
# commands, and for nothing else.
base_model = $base_model
# What serves it: "embedded" (this process), or the URL of vLLM or `burnish serve`.
backend = $backend
# What says whether a run succeeded. All entries must agree. "outcome" would take what your systems
# report with burnish.outcome(); `burnish verify list` shows the others.
verify = [{ goal_state = { predicate = "checks:reached_goal", needs_state = false } }]
# Tasks that the agent is measured on, and a fresh world for each attempt.
tasks = "tasks:tasks"
environment = "tasks:World"

[agent.$agent.evaluate]
# Fresh runs on training tasks before each training; 0 learns from production runs alone.
rollouts = 0

[agent.$agent.gate]
# Gain on held-out tasks that an adapter must show, with 95 % confidence. With fewer than about
# 50 held-out tasks the gate mostly answers "inconclusive".
min_gain = 0.0

[agent.$agent.canary]
# Who decides about live traffic: a source of burnish.outcome(), or the name of a verifier.
decides = "goal_state"
"""

CHECKS = '''\
"""What a successful run is. burnish.toml names `reached_goal` as a verifier."""

from __future__ import annotations

from typing import Any

from tasks import expected_answer


def reached_goal(trajectory: Any, final_state: Any) -> bool | None:
    """Judge one finished run by facts, never by what the agent says of itself.

    Args:
        trajectory: The recorded run: task_id, answer, status, tool_runs (each with name, arguments
            and result), outcomes, threads.
        final_state: What World.state() returned at the end; None where none was recorded.

    Returns:
        True: success. False: failure. None: unknown. Only successes are learned from.
    """
    expected = expected_answer(trajectory.task_id)
    if expected is None:  # production runs carry no known task: replace this by a rule of yours
        return None
    return expected.casefold() in (trajectory.answer or "").casefold()
'''

TASKS = '''\
"""Tasks that the agent is measured on, by pool, and the world that each attempt acts on."""

from __future__ import annotations

from typing import Any

# question, and what a right answer contains. Replace them by tasks of your own; aim at 50 or more
# in "heldout". No question may be in two pools.
#   train       may be learned from
#   heldout     new questions: the gain is measured here
#   standing    tasks that are solved today and must stay solved
#   capability  what the base model can do outside of this job, and must still do afterwards
POOLS: dict[str, list[tuple[str, str]]] = {
    "train": [("What is 2 + 2?", "4"), ("What is 3 + 5?", "8")],
    "heldout": [("What is 4 + 3?", "7"), ("What is 6 + 3?", "9")],
    "standing": [("What is 1 + 1?", "2")],
    "capability": [("What is the capital of France?", "Paris")],
}


def tasks(pool: str, n: int | None = None, seed: int = 0) -> list[dict[str, Any]]:
    """Return the tasks of a pool; the same arguments always give the same tasks.

    Args:
        pool: train, heldout, standing or capability.
        n: At most so many; None gives all.
        seed: Another seed may choose other tasks; burnish passes a new one for each training.

    Returns:
        A list of mappings. `id` and `input` are needed: a unique name, and what graph.invoke gets.
        `kind` groups the figures of a report. Further keys are yours; World.open() gets them all.
    """
    return [
        {
            "id": f"{pool}-{number}",
            "input": {"messages": [{"role": "user", "content": question}]},
            "kind": "addition",
        }
        for number, (question, _) in enumerate(POOLS[pool][:n])
    ]


def expected_answer(task_id: str | None) -> str | None:
    """Return what a right answer to a task contains; None for an unknown task."""
    pool, _, number = (task_id or "").rpartition("-")
    if pool not in POOLS or not number.isdigit() or int(number) >= len(POOLS[pool]):
        return None
    return POOLS[pool][int(number)][1]


class World:
    """The world of one attempt, such as a fresh database. One object serves one attempt.

    An agent that changes nothing needs none: delete this class and `environment` in burnish.toml.
    """

    def open(self, task: dict[str, Any]) -> None:
        """Make the world fresh for a task."""
        self.task = task

    def state(self) -> Any:
        """Return the state as plain data. It is recorded at the end; checks.py gets it."""
        return {"task": self.task["id"]}

    def close(self) -> None:
        """Give everything back; called once, also after a failure."""
'''

AGENT = '''\
"""A first agent, to be replaced by yours. burnish.toml names `$function` as `build`."""

from __future__ import annotations

from typing import Any

from langchain.agents import create_agent


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def $function(model: Any) -> Any:
    """Return the graph with this chat model; burnish calls it with the models that it compares."""
    return create_agent(model, tools=[add], system_prompt="Answer with one number.")
'''


def render_template(text: str, **values: str) -> str:
    """Fill in a template.

    Args:
        text: One of the templates of this module.
        **values: Its fields. Values that stand alone behind `=` in burnish.toml are quoted.
    """
    quoted = {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}
    names = {"agent": quoted_key(values.get("agent", ""))}
    plain = {"function": values.get("function", "")}
    return Template(text).substitute(quoted | names | plain)


def quoted_key(name: str) -> str:
    """Return a name as a key of TOML: bare where TOML allows it, else quoted."""
    bare = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if bare else json.dumps(name, ensure_ascii=False)
