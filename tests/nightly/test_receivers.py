"""Real Phoenix and real MLflow show every run correctly: from the list of traces down to each call."""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from desk_agent import AGENT, RUNS, TAG, THOUGHT, USAGE, USER
from receivers import mlflow_views, phoenix_views

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@functools.cache
def _started(name: str) -> dict[str, dict[str, Any]] | BaseException:
    """Return a receiver's view of each run, or the error that prevented it; it is started once."""
    read, protocol = {
        "Phoenix, HTTP": (phoenix_views, "http"),
        "Phoenix, gRPC": (phoenix_views, "grpc"),
        "MLflow, HTTP": (mlflow_views, "http"),
    }[name]
    home = Path(tempfile.mkdtemp())
    try:
        return read(home, protocol)
    except (AssertionError, LookupError, OSError, ValueError) as error:  # each test says so
        return error
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _views(name: str) -> dict[str, dict[str, Any]]:
    found = _started(name)
    if isinstance(found, BaseException):
        pytest.fail(f"{name}: {found}")
    return found


def _spans(view: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [span for span in view["spans"] if span["name"] == name]


def _said(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def question(runs):
    return [runs[name]["question"] for name in RUNS], [asked for asked, _ in RUNS.values()]


def answer(runs):
    shown = [runs[name]["answer"] for name in RUNS]
    return shown, ["Order 7 is in Bodø.", None, None]


def status_of_runs(runs):
    return [runs[name]["status"] for name in RUNS], ["OK", "ERROR", "ERROR"]


def replies(runs):
    """Texts, thought and calls of each reply, in the pages of the calls."""
    shown = [_said(span["output"]) for span in _spans(runs["answered"], "chat scripted-1")]
    wanted = [THOUGHT, "I look for both.", "c-find_order-0", "c-find_order-1", "c-weigh-0"]
    wanted += ["c-read_handbook-1", "c-remember-0", "Order 7 is in Bodø."]
    return [[part in "".join(shown) for part in wanted], len(shown)], [[True] * len(wanted), 4]


def prompts(runs):
    shown = [_said(span["input"]) for span in _spans(runs["answered"], "chat scripted-1")]
    parts = ["You help at a desk.", RUNS["answered"][0]]
    return [all(part in each for part in parts) for each in shown], [True] * 4


def tool_arguments(runs):
    shown = [span["input"] for span in _spans(runs["answered"], "execute_tool find_order")]
    return sorted(shown, key=_said), [{"number": 7}, {"number": 8}]


def tool_results(runs):
    view = runs["answered"]
    names = ("weigh", "read_handbook", "remember")
    shown = [_spans(view, f"execute_tool {name}")[0]["output"] for name in names]
    shown += sorted(span["output"] for span in _spans(view, "execute_tool find_order"))
    wanted = [{"kilos": 12, "parts": [1, 2]}, "Page about weights.", "1 fact known"]
    return shown, [*wanted, 'Order 7 is in "Bodø".', "no order 8"]


def handled_error(runs):
    spans = _spans(runs["answered"], "execute_tool find_order")
    return sorted((s["status"], s["message"] or "") for s in spans), [
        ("ERROR", "no order 8"),
        ("OK", ""),
    ]


def failed_tool(runs):
    (span,) = _spans(runs["tool failed"], "execute_tool send_parcel")
    return (span["status"], span["message"]), ("ERROR", "no carrier for 9")


def failed_model(runs):
    (span,) = _spans(runs["model failed"], "chat scripted-1")
    return (span["status"], span["message"]), ("ERROR", "the model is away")


def tokens(runs):
    told = runs["answered"]["tokens"]
    wanted = {
        "input_tokens": 4 * USAGE["input_tokens"],
        "output_tokens": 4 * USAGE["output_tokens"],
        "cache_read_input_tokens": 4 * USAGE["input_token_details"]["cache_read"],
        "cache_creation_input_tokens": 4 * USAGE["input_token_details"]["cache_creation"],
    }
    return {name: told.get(name) for name in wanted}, wanted


def thread(runs):
    return [runs[name]["thread"] for name in RUNS], [f"thread {name}" for name in RUNS]


def user(runs):
    return [runs[name]["user"] for name in RUNS], [USER] * len(RUNS)


def agent(runs):
    """The name and the kind of each run's first span."""
    shown = [_spans(runs[name], f"invoke_agent {AGENT}")[0]["kind"] for name in RUNS]
    return shown, ["AGENT"] * len(RUNS)


def kinds(runs):
    names = ("execute_tool weigh", "retrieval Handbook", "search_memory store.search")
    shown = [_spans(runs["answered"], name)[0]["kind"] for name in names]
    return shown, ["TOOL", "RETRIEVER", "CHAIN"]


def retrieved(runs):
    (span,) = _spans(runs["answered"], "retrieval Handbook")
    return (span["input"], span["output"][0]["content"]), ("weights", "Page about weights.")


def store(runs):
    (put,) = _spans(runs["answered"], "upsert_memory store.put")
    (found,) = _spans(runs["answered"], "search_memory store.search")
    fact = {"fact": "lives in Bodø"}
    return (put["input"]["value"], found["output"][0]["content"]), (fact, fact)


def tags(runs):
    (span,) = _spans(runs["answered"], f"invoke_agent {AGENT}")
    return TAG in _said(span["attributes"]), True


def outcome_and_verdict(runs):
    """Outcome and verdict are in the trace of their run, with their labels."""
    shown = [_spans(runs["answered"], name) for name in ("outcome crm", "verdict checker")]
    texts = [_said(span["attributes"]) for (span,) in shown]
    return ["pass" in texts[0], "success" in texts[1]], [True, True]


FACTS = (question, answer, status_of_runs, prompts, replies, tool_arguments, tool_results,
         handled_error, failed_tool, failed_model, tokens, thread, user, agent, kinds, retrieved,
         store, tags, outcome_and_verdict)  # fmt: skip
NAMES = ("Phoenix, HTTP", "Phoenix, gRPC", "MLflow, HTTP")


@pytest.mark.parametrize("receiver", NAMES)
@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.__name__)
def test_a_receiver_shows(receiver, fact):
    shown, wanted = fact(_views(receiver))

    assert shown == wanted


def test_the_table_of_what_is_shown():
    """Print the table that benchmarks/RESULTS.md records."""
    lines = ["", f"| shown | {' | '.join(NAMES)} |", f"|---|{'---|' * len(NAMES)}"]
    cells = {fact: [fact(_views(name)) for name in NAMES] for fact in FACTS}
    for fact, found in cells.items():
        marks = ["yes" if shown == wanted else "no" for shown, wanted in found]
        lines.append(f"| {fact.__name__.replace('_', ' ')} | {' | '.join(marks)} |")
    print("\n".join(lines))

    assert all(shown == wanted for found in cells.values() for shown, wanted in found)
