"""Check an export against the audit fixture: 20 captured runs of 6 model calls, of which 12 may become rows.

A LangChain agent with two tools and a scripted model runs 20 times, recorded by burnish. Five runs
end in a wrong answer, three repeat the first task word for word, and every prompt holds an e-mail
address. A right export has the 12 others, once each, without any of the addresses.

    python benchmarks/export/audit.py [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import tempfile
import time
from pathlib import Path
from typing import Any

AGENT = "audit"
RUNS, CALLS = 20, 6
FAILED = {3, 7, 11, 15, 19}
REPEATS = {16, 17, 18}
ADDRESS = re.compile(r"[\w.]+@firm-mail\.com")


def next_step(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the scripted model's next reply to a conversation: five calls with a thought each, then the answer."""
    asked = str(next(m["content"] for m in reversed(messages) if m["role"] == "user"))
    number = int(re.findall(r"number (\d+)", asked)[0])
    step = sum(message["role"] == "tool" for message in messages)
    if step == CALLS - 1:
        wrong = "(wrong) " if "wrong" in asked else ""
        return {"content": f"{wrong}The total of list {number} is {number}.50 EUR."}
    name, arguments = (
        ("search", {"query": f"item{number}", "limit": step + 1})
        if step % 2 == 0
        else ("price", {"item": f"item{number}-{step - 1}"})
    )
    call = {"name": name, "args": arguments, "id": f"call_{number}_{step}"}
    return {"content": f"Step {step}: I look further.", "tool_calls": [call]}


def requests() -> list[tuple[str, bool]]:
    """Return the requests of the 20 runs, and whether each answer will be wrong."""
    found = []
    for run in range(RUNS):
        number = 0 if run in REPEATS else run
        kind = "wrong list" if run in FAILED else "list"
        text = (
            f"Add up {kind} number {number}. Reply to customer{number}@firm-mail.com, "
            f"copy to boss.{number}@firm-mail.com."
        )
        found.append((text, run in FAILED))
    return found


def build_agent(model: Any) -> Any:
    """Return a create_agent graph with two tools."""
    from langchain.agents import create_agent
    from langchain_core.tools import tool

    @tool
    def search(query: str, limit: int = 5) -> dict[str, Any]:
        """Search the catalogue."""
        return {"query": query, "hits": [f"{query}-{n}" for n in range(limit)]}

    @tool
    def price(item: str) -> str:
        """Price of an item, in euros; empty if there is none."""
        return "" if item.endswith("0") else f"{len(item)}.50"

    return create_agent(model, [search, price], system_prompt="You add up shopping lists.")


def scripted_model() -> Any:
    """Return a chat model in this process that follows the script."""
    from langchain_core.messages import AIMessage, convert_to_openai_messages

    from burnish.testing import ScriptedChatModel

    def answer(messages: list[Any]) -> AIMessage:
        said: Any = convert_to_openai_messages(messages)
        return AIMessage(**next_step(said))

    return ScriptedChatModel(script=[answer], repeat=True)


def capture_runs() -> None:
    """Run the agent 20 times under capture, and report the outcome of each run."""
    import burnish

    graph = burnish.wrap(build_agent(scripted_model()), agent=AGENT)
    for run, (request, fails) in enumerate(requests()):
        config = {"configurable": {"thread_id": f"thread-{run}"}}
        graph.invoke({"messages": [("user", request)]}, config=config)
        burnish.outcome(thread_id=f"thread-{run}", success=not fails, source="audit")
    burnish.flush(10)


def measure(home: Path) -> dict[str, Any]:
    """Capture into a home folder, export, and count the audited properties."""
    import burnish
    from burnish_exporters import build_dataset

    burnish.configure(home=home)
    capture_runs()
    workspace = burnish.Workspace()
    failed = {run.id for run in workspace.trajectories(agent=AGENT) if not run.outcomes[-1].success}
    start = time.process_time()
    version = build_dataset(workspace, agent=AGENT, verify=["outcome"])
    seconds = time.process_time() - start
    rows = list(version.rows())
    texts = [json.dumps(row["messages"]) for row in rows]
    openai = version.to("openai")
    stored = b"".join(
        path.read_bytes() for path in sorted(version.path.rglob("*")) if path.is_file()
    )
    return {
        "rows": len(rows),
        "from_failures": sum(row["trajectory_id"] in failed for row in rows),
        "emails": sum(len(ADDRESS.findall(text)) for text in [*texts, stored.decode("latin-1")]),
        "duplicates": len(texts) - len({text.replace("thread", "") for text in texts}),
        "valid_for_openai": len(openai),
        "loads_in_datasets": len(version.to("trl-sft")),
        "cpu_s": round(seconds, 3),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the same: it takes seconds")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder))
    conditions = {"python": platform.python_version(), "runs": RUNS, "calls": CALLS}
    if options.json:
        options.json.write_text(json.dumps({"figures": figures, "conditions": conditions}))
    for name, value in figures.items():
        print(f"{name:20} {value}")


if __name__ == "__main__":
    main()
