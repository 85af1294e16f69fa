"""Errors of a server say nothing about an adapter: retried, counted apart, shown, never cached."""

from __future__ import annotations

import asyncio
import logging

import msgspec
import openai
import pytest

from burnish.adapters import AdapterStore
from burnish.errors import BackendUnavailable, EvaluationError, ServingError
from burnish.records import AdapterManifest, Evaluation
from burnish.serving import base_sha256, open_backend
from burnish.serving.remote.chat_model import RETRIES, make_remote_chat
from burnish.testing import VllmServer
from burnish_trainer import collect, evaluate
from burnish_trainer.evaluation import RunOptions
from burnish_trainer.evaluation.agent_code import hash_code
from burnish_trainer.evaluation.agent_project import load_agent
from burnish_trainer.evaluation.attempts.watch import (
    infrastructure_error,
    next_seed,
    read_retry_after,
    seed_calls,
)
from burnish_trainer.evaluation.chat_models import check_backend, load_adapter
from burnish_trainer.evaluation.notes import evaluation_notes
from burnish_trainer.gate import decide


@pytest.fixture
def server(base, shop, engine):
    """Serve the project's model behind a server that behaves as vLLM does."""
    with VllmServer(base) as server:
        text = (shop / "burnish.toml").read_text()
        line = f'base_model = "{base}"\n'
        (shop / "burnish.toml").write_text(
            text.replace(line, f'{line}backend = "{server.url}"\n', 1)
        )
        yield server


def chats(server):
    return [body for path, body in server.requests if path == "/v1/chat/completions"]


def few(n=4):
    return [
        {"id": f"heldout-{i}", "number": i, "input": {"messages": [("user", f"order {i}")]}}
        for i in range(20, 20 + n)
    ]


@pytest.mark.slow
def test_both_sides_of_an_evaluation_are_asked_over_one_event_loop(server):
    found = evaluate("shop", adapters=[None, None], tasks=few(8))
    pool = found.pools["heldout"]
    assert pool.before == pool.after
    assert found.extras["infrastructure"]["after"] == {"attempts": 8, "errors": {}}
    assert found.extras["remembered"] == {"before": 0, "after": 8}


@pytest.mark.slow
def test_an_evaluation_can_be_called_from_inside_an_event_loop(server):
    async def called():
        return evaluate("shop", adapters=[None], tasks=few(2))

    assert asyncio.run(called()).pools["heldout"].before.total == 2


@pytest.mark.slow
def test_attempts_that_the_server_fails_are_counted_apart_and_made_again_next_time(server):
    server.fail(404, times=3 * 2)  # of 8 attempts, two or more meet it
    found = evaluate("shop", adapters=[None], tasks=few(8), options=RunOptions(concurrency=1))
    lost = found.extras["infrastructure"]["before"]
    assert sum(lost["errors"].values()) == 2
    assert "NotFoundError" in next(iter(lost["errors"]))
    assert found.pools["heldout"].before.total == 6
    assert found.unknown == {}
    decision = decide(found)
    assert decision.decision in ("inconclusive", "reject")
    assert any("met an error of the infrastructure" in reason for reason in decision.reasons)
    assert any("do not count" in note for note in evaluation_notes(found))

    # The other side is the same version: it made the two attempts again, and only those.
    assert found.extras["remembered"]["after"] == 6
    assert found.extras["infrastructure"]["after"]["errors"] == {}
    again = evaluate("shop", adapters=[None], tasks=few(8), options=RunOptions(concurrency=2))
    assert again.extras["remembered"] == {"before": 8, "after": 8}
    assert again.pools["heldout"].before.total == 8
    assert any("--fresh" in note for note in evaluation_notes(again))


@pytest.mark.slow
def test_fresh_makes_all_attempts_again(server):
    evaluate("shop", adapters=[None], tasks=few())
    before = len(chats(server))
    found = evaluate("shop", adapters=[None], tasks=few(), fresh=True)
    assert found.extras["remembered"] == {"before": 0, "after": 0}
    assert len(chats(server)) == before + 8  # both sides are the base model


@pytest.mark.slow
def test_a_server_that_fails_all_attempts_ends_the_evaluation_with_its_error(server):
    server.fail(404, times=1000)
    with pytest.raises(EvaluationError, match=r"met an error of the infrastructure: NotFoundError"):
        evaluate("shop", adapters=[None], tasks=few(40), options=RunOptions(concurrency=4))
    assert len(chats(server)) < 40  # a row of errors and nothing else: the rest is not tried


@pytest.mark.slow
def test_a_refused_token_ends_the_evaluation_before_any_cost(server):
    server.fail(403, times=1000)
    with pytest.raises(BackendUnavailable, match=r"refuses the token.*BURNISH_TOKEN"):
        evaluate("shop", adapters=[None], tasks=few(40), options=RunOptions(concurrency=4))
    assert len(chats(server)) <= 4


@pytest.mark.slow
def test_a_server_that_asks_for_a_pause_gets_it_and_loses_no_attempt(server):
    server.fail(429, times=3 * (RETRIES + 1), headers={"retry-after": "0.05"})
    found = evaluate("shop", adapters=[None], tasks=few(3), options=RunOptions(concurrency=1))
    assert found.extras["infrastructure"]["before"] == {"attempts": 3, "errors": {}}
    assert len(chats(server)) == 3 * (RETRIES + 1) + 3


@pytest.mark.slow
def test_lines_of_clients_are_counted_inside_an_evaluation_and_kept_outside(server, caplog):
    caplog.set_level(logging.INFO)
    server.fail(429, times=3 * (RETRIES + 1), headers={"retry-after": "0.05"})
    evaluate("shop", adapters=[None], tasks=few(3), options=RunOptions(concurrency=1))
    retried = [one for one in caplog.records if one.name == "openai._base_client"]
    assert len(retried) <= 2  # one for each evaluation loop that asked
    assert "more lines of openai._base_client" in caplog.text
    caplog.clear()
    server.fail(429, times=2, headers={"retry-after": "0.05"})
    make_remote_chat(server.url, None).invoke("order 1")
    assert sum(one.name == "openai._base_client" for one in caplog.records) == 2


@pytest.mark.slow
def test_the_client_does_not_ask_again_within_a_long_pause(server, base):
    server.fail(429, times=5, headers={"retry-after": "90"})
    chat = make_remote_chat(server.url, None)
    with pytest.raises(openai.RateLimitError) as refused:
        asyncio.run(chat.ainvoke("order 1"))
    assert len(chats(server)) == 1
    assert read_retry_after(refused.value) == 90


@pytest.mark.slow
def test_rollouts_have_a_seed_for_each_task_attempt_and_call(server):
    subject = load_agent("shop")
    options = RunOptions(source="rollout", temperature=1.0, seed=3, attempts=2)
    collect(subject, subject.tasks("train", 6), options=options)
    seeds = [body["seed"] for body in chats(server)]
    assert len(seeds) == len(set(seeds)) >= 12
    collect(subject, subject.tasks("train", 6), options=options)
    again = [body["seed"] for body in chats(server)][len(seeds) :]
    assert sorted(again) == sorted(seeds)


@pytest.mark.parametrize("left", ["restarted", "gone"])
def test_a_server_that_lost_the_version_ends_no_evaluation(
    server, base, home, tmp_path, caplog, left
):
    from burnish.serving.embedded.tiny import make_adapter

    manifest = AdapterManifest(
        id="",
        name="shop",
        sha256="",
        base_model=str(base),
        base_sha256=base_sha256(base),
        rank=4,
        alpha=8,
        targets=["q_proj"],
        created_at="2026-01-01",
    )
    adapter = AdapterStore(home).publish(make_adapter(tmp_path / "lora", base, rank=4), manifest).id
    with load_adapter(load_agent("shop"), adapter):
        assert open_backend(server.url).list() == [adapter]
        if left == "restarted":
            server.restart()
        else:
            server.fail(
                503, times=1000, path="/v1/unload_lora_adapter", headers={"retry-after": "0"}
            )
    assert (f"{adapter} stays loaded" in caplog.text) == (left == "gone")


def test_seeds_belong_to_the_task_the_attempt_and_the_call():
    def drawn(*key):
        with seed_calls(*key):
            return [next_seed() for _ in range(3)]

    keys = [(0, "a", 1), (0, "a", 2), (0, "b", 1), (1, "a", 1)]
    found = [seed for key in keys for seed in drawn(*key)]
    assert len(set(found)) == len(found)
    assert all(0 <= seed < 2**31 for seed in found)
    assert drawn(0, "a", 1) == drawn(0, "a", 1)
    assert next_seed() is None


@pytest.mark.slow
def test_results_of_another_backend_are_not_taken_for_those_of_this_one(server, base, shop):
    evaluate("shop", adapters=[None], tasks=few())
    with VllmServer(base, served_name="other") as second:
        text = (shop / "burnish.toml").read_text()
        (shop / "burnish.toml").write_text(text.replace(server.url, second.url))
        assert evaluate("shop", adapters=[None], tasks=few()).extras["remembered"]["before"] == 0
        (shop / "burnish.toml").write_text("# a comment\n" + text.replace(server.url, second.url))
        assert evaluate("shop", adapters=[None], tasks=few()).extras["remembered"]["before"] == 4


def test_the_rank_limit_of_a_server_is_told_before_the_training(server, shop):
    text = (shop / "burnish.toml").read_text()
    (shop / "burnish.toml").write_text(text.replace("rank = 4", "rank = 64"))
    with pytest.raises(ServingError, match=r"up to rank 16, and train\.rank is 64"):
        check_backend(load_agent("shop").config)


def status_error(kind, status):
    import httpx2

    request = httpx2.Request("POST", "http://there/v1/chat/completions")
    return kind("no", response=httpx2.Response(status, request=request), body=None)


def error_of_a_stream(code):
    """Return the exception that the client raises for an error event in a stream."""
    import httpx2

    request = httpx2.Request("POST", "http://there/v1/chat/completions")
    return openai.APIError("no", request=request, body={"message": "no", "code": code})


def test_errors_of_the_backend_are_told_from_those_of_the_agent():
    limit = status_error(openai.RateLimitError, 429)
    hidden = RuntimeError("the model did not answer")
    hidden.__cause__ = limit
    assert infrastructure_error(limit).startswith("RateLimitError")
    assert infrastructure_error(hidden).startswith("RateLimitError")
    assert infrastructure_error(ExceptionGroup("several", [ValueError(), limit]))
    assert infrastructure_error(status_error(openai.InternalServerError, 500))
    assert infrastructure_error(BackendUnavailable("down"))
    assert infrastructure_error(status_error(openai.BadRequestError, 400)) is None
    assert infrastructure_error(ConnectionError("of a tool")) is None
    assert infrastructure_error(ValueError("of the agent")) is None
    assert infrastructure_error(error_of_a_stream(500)).startswith("APIError")
    assert infrastructure_error(error_of_a_stream(400)) is None


def test_up_to_the_allowed_share_lost_attempts_are_named_and_decide_nothing():
    def measured(lost):
        rate = {"successes": 0, "total": 0, "rate": 0.0, "low": 0.0, "high": 0.0}
        before = rate | {"successes": 20, "total": 100, "rate": 0.2}
        after = rate | {"successes": 80, "total": 100, "rate": 0.8}
        pool = {
            "pool": "heldout",
            "before": before,
            "after": after,
            "gain": 0.6,
            "ci95": [0.5, 0.7],
            "won": 60,
            "lost": 0,
            "p_value": 1e-9,
            "by_kind": {},
            "cost": {},
        }
        side = {"attempts": 100, "errors": {"APITimeoutError: late": lost} if lost else {}}
        told = {
            "agent": "a",
            "base_model": "b",
            "before": None,
            "after": "a@1",
            "pools": {"heldout": pool},
            "trajectories": 200,
            "extras": {"infrastructure": {"before": side, "after": side}},
        }
        return decide(msgspec.convert(told, Evaluation))

    assert measured(0).decision == "promote"
    assert measured(2).decision == "promote"
    assert "4 of 200 attempts met an error of the infrastructure" in measured(2).reasons[0]
    assert measured(3).decision == "inconclusive"


def test_the_hash_of_an_agent_covers_packages_prompts_and_named_data(tmp_path, monkeypatch):
    project, library = tmp_path / "project", tmp_path / "library"
    (project / "pack" / "prompts").mkdir(parents=True)
    (library / "shared").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(library))
    files = {
        project / "agent.py": "import json\nfrom pack import inner\nDATA = 'rules.json'\n",
        project / "pack" / "__init__.py": "",
        project / "pack" / "inner.py": "def f():\n    from shared import tool\n",
        project / "pack" / "prompts" / "system.txt": "Be kind.",
        project / "rules.json": "{}",
        library / "shared" / "__init__.py": "",
        library / "shared" / "tool.py": "from . import deep",
        library / "shared" / "deep.py": "X = 1",
        library / "shared" / "prompt.md": "Be exact.",
    }
    for path, text in files.items():
        path.write_text(text)

    def now():
        return hash_code(project, ["agent"], project / "home")

    first = now()
    for path, text in files.items():
        path.write_text(f"{text}\nY = 2" if path.suffix == ".py" else f"{text} ")
        changed = now()
        path.write_text(text)
        assert changed != first, path
    assert now() == first
    (project / "home").mkdir()
    for name in ("burnish.toml", "README.md", "report.json", "home/notes.md", ".env.txt"):
        (project / name).write_text("x")
    assert now() == first


def project_of(folder, files):
    """Write a project; return the function that hashes its agent."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return lambda: hash_code(folder, ["agent"], folder / ".burnish")


def test_files_that_are_written_beside_an_agent_change_nothing(tmp_path):
    hashed = project_of(
        tmp_path,
        {
            "agent.py": "from pathlib import Path\nTEXT = Path('system.md').read_text()\n",
            "system.md": "Be kind.",
        },
    )
    first = hashed()
    written = [
        "report.md",
        "report.html",
        "report.json",
        "facts.json",
        "results.json",
        "notes.txt",
        "tasks.lock",
        "uv.lock",
        "requirements.txt",
        "cache/answers.json",
        "cache/answer.txt",
        "out/runs/notes.md",
        "test_agent.py",
        "tests/test_more.py",
        "benchmark.py",
        "LICENSE.md",
        "tasks/heldout.jsonl",
    ]
    for name in written:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x = 1")
        assert hashed() == first, name
    (tmp_path / "agent.py").write_text(
        "# a comment\nfrom pathlib import Path\n\n\nTEXT = Path('system.md').read_text()  # read\n"
    )
    assert hashed() == first
    (tmp_path / "system.md").write_text("Be exact.")
    assert hashed() != first


READERS = {
    "by its name": "open('prompts/a.md')",
    "in a folder that is listed": "[p.read_text() for p in Path('prompts').iterdir()]",
    "by a pattern": "list(Path(__file__).parent.rglob('*.md'))",
    "by a built name": "open(HERE / 'prompts' / f'{name}.md')",
    "by a built name alone": "open(f'{folder}/{name}.md')",
    "by the suffix": "Path(folder, name).with_suffix('.md')",
    "by a format": "open('%s/%s.md' % (folder, name))",
    "by a loader": "FileSystemLoader('prompts')",
    "as a resource": "files('pack.prompts')",
    "by another text": "open('index.yaml')",
}


@pytest.mark.parametrize("way", sorted(READERS))
def test_a_prompt_that_the_agent_reads_counts(tmp_path, way):
    hashed = project_of(
        tmp_path,
        {
            "agent.py": f"def build(model):\n    return {READERS[way]}\n",
            "prompts/a.md": "Be kind.",
            "index.yaml": "first: prompts/a.md\n",
        },
    )
    first = hashed()
    (tmp_path / "prompts" / "a.md").write_text("Be exact.")
    assert hashed() != first


def test_a_report_of_burnish_never_counts_even_among_prompts(tmp_path):
    from burnish.files.output_files import write_output

    hashed = project_of(
        tmp_path,
        {
            "agent.py": "PROMPTS = sorted(Path('.').glob('*.md'))\n",
            "system.md": "Be kind.",
        },
    )
    first = hashed()
    write_output(tmp_path / "report.md", "## shop\n\n| pool | before |\n", "--markdown")
    assert hashed() == first
    (tmp_path / "second.md").write_text("Be exact.")
    assert hashed() != first


def test_modules_that_are_found_at_run_time_count(tmp_path):
    files = {
        "agent.py": "from pack import build\n",
        "pack/__init__.py": "",
        "pack/plugins/one.py": "X = 1",
        "worker.py": "X = 1",
        "unused.py": "X = 1",
    }
    hashed = project_of(tmp_path, files)
    first = hashed()
    (tmp_path / "unused.py").write_text("X = 2")
    assert hashed() == first
    (tmp_path / "pack" / "plugins" / "one.py").write_text("X = 2")
    second = hashed()
    assert second != first  # a package may look for its modules
    (tmp_path / "agent.py").write_text("from pack import build\nRUN = ['python', 'worker.py']\n")
    third = hashed()
    (tmp_path / "worker.py").write_text("X = 2")
    assert hashed() != third
    (tmp_path / "agent.py").write_text("import importlib\nM = importlib.import_module(name)\n")
    fourth = hashed()
    (tmp_path / "unused.py").write_text("X = 3")
    assert hashed() != fourth
