"""Hooks hear of transitions, and one that fails, hangs or raises ends and delays no round."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import burnish
from burnish.adapters import Target
from burnish.errors import ImportPathError, SettingsError
from burnish.project import CanaryConfig
from burnish_trainer.evaluation.agent_project import load_agent
from burnish_trainer.overrides import apply_overrides
from burnish_trainer.rounds.hooks import TransitionHooks, read_hook_counts, webhook_headers


@pytest.fixture
def server():
    """A server that keeps what is posted, and answers with the statuses it is given, then 204."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            found.requests.append((json.loads(body), self.headers.get("authorization")))
            self.send_response(found.statuses.pop(0) if found.statuses else 204)
            self.end_headers()

        def log_message(self, *_):
            pass

    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.requests, found.statuses = [], []
    found.url = f"http://127.0.0.1:{found.server_port}/hook"
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()
    thread.join()


def subject_with(shop, *hooks: str, **more):
    project = load_agent("shop").project
    loop = {"on_transition": list(hooks), "hook_timeout_s": 2.0, **more}
    return apply_overrides(project, "shop", {"loop": loop})


def test_a_webhook_hears_of_transitions_in_order_with_the_token(shop, home, server, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "a-token")
    subject = subject_with(shop, server.url, hook_token_env="MY_TOKEN")
    with TransitionHooks(subject) as hooks:
        hooks.send("stage_began", {"stage": "train"})
        hooks.send("decided", {"decision": "promote"})
    (first, token), (second, _) = server.requests
    assert (first["event"], first["agent"], first["stage"]) == ("stage_began", "shop", "train")
    assert second["decision"] == "promote"
    assert first["at"] <= second["at"]
    assert token == "Bearer a-token"
    assert read_hook_counts(home, "shop") == {server.url: {"sent": 2, "failed": 0}}


def test_a_failing_webhook_is_tried_again_and_counted(shop, home, server):
    server.statuses = [500, 503]
    with TransitionHooks(subject_with(shop, server.url)) as hooks:
        hooks.send("decided", {})
    assert len(server.requests) == 3
    assert read_hook_counts(home, "shop")[server.url]["failed"] == 0
    server.statuses = [500] * 4
    with TransitionHooks(subject_with(shop, server.url, hook_tries=2)) as hooks:
        hooks.send("decided", {})
        hooks.send("round_ended", {})
    counts = read_hook_counts(home, "shop")[server.url]
    assert (counts["sent"], counts["failed"]) == (1, 2)
    assert "500" in counts["last_error"]
    assert len(server.requests) == 6, (
        "a hook that failed all its tries gets one for each transition"
    )


def test_functions_that_raise_or_hang_hold_up_neither_the_round_nor_one_another(shop, home):
    (shop / "hooks.py").write_text(
        "import threading\n"
        "heard = []\n"
        "def note(facts): heard.append(facts['event'])\n"
        "def fail(facts): raise SystemExit('no')\n"
        "def hang(facts): threading.Event().wait(5)\n"
    )
    names = [f"hooks:{name}" for name in ("fail", "hang", "note")]
    subject = subject_with(shop, *names, hook_timeout_s=0.1, hook_tries=1)
    with TransitionHooks(subject) as hooks:
        began = time.monotonic()
        hooks.send("decided", {})
        assert time.monotonic() - began < 0.1
    import hooks as module

    assert module.heard == ["decided"]
    counts = read_hook_counts(home, "shop")
    assert counts["hooks:fail"] == {"sent": 0, "failed": 1, "last_error": "SystemExit: no"}
    assert "did not end within" in counts["hooks:hang"]["last_error"]


@pytest.mark.parametrize("wrong", ["ftp://host/x", "hooks", "http://"])
def test_what_is_no_hook_is_refused_before_the_round(shop, home, wrong):
    with pytest.raises(SettingsError, match="on_transition names"):
        TransitionHooks(subject_with(shop, wrong))
    with pytest.raises(ImportPathError):
        TransitionHooks(subject_with(shop, "nowhere:at_all"))


def test_a_token_does_not_leave_this_machine_in_clear():
    assert "authorization" not in webhook_headers("http://hooks.example/x", "a-token")
    for url in ("https://hooks.example/x", "http://127.0.0.1:8000/x"):
        assert webhook_headers(url, "a-token")["authorization"] == "Bearer a-token"
    assert "authorization" not in webhook_headers("https://hooks.example/x", None)


def test_the_moves_of_a_canary_are_sent_once_whoever_made_them(shop, home, server):
    subject = subject_with(shop, server.url)
    rollout = burnish.Workspace().canary("shop")
    rollout.start(Target(base_model="m"), CanaryConfig(steps=[0.5, 1.0]))
    for _ in range(2):
        with TransitionHooks(subject) as hooks:
            hooks.send_canary_moves()
    rollout.pause("a look")
    rollout.rollback("enough seen")
    with TransitionHooks(subject) as hooks:
        hooks.send_canary_moves()
    said = [(told["event"], told["reason"]) for told, _ in server.requests]
    assert said == [
        ("canary_started", "first step"),
        ("canary_paused", "a look"),
        ("canary_rolled_back", "enough seen"),
    ]
