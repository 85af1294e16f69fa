"""`burnish doctor` finds the causes of later failures: imports, models, backends, unknown agents."""

from __future__ import annotations

import http.server
import json
import threading

import pytest

from burnish.testing.recording import Recording


def found_by(burnish, *words, code=0):
    return {one["name"]: one for one in burnish("doctor", "--json", *words, code=code)}


def test_what_burnish_toml_names_and_is_there_is_well(project, burnish):
    assert found_by(burnish)["agent support"]["ok"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('build = "nowhere:build"', "nowhere:build"),
        ('build = "clerk_agent:nothing"', "has no 'nothing'"),
        ('environment = "nowhere:World"', "nowhere:World"),
        ('tasks = "clerk_checks:tasks"', "has no 'tasks'"),
        ('base_model = "no-such-model"', "no base model 'no-such-model'"),
        ('backend = "http://127.0.0.1:9"', "127.0.0.1:9"),
        ('verify = [{ goal_state = "nowhere:check" }]', "nowhere:check"),
    ],
)
def test_what_is_not_there_is_named(project, burnish, line, said):
    key = line.partition(" ")[0]
    toml = (project / "burnish.toml").read_text().splitlines()
    kept = [old for old in toml if not old.startswith(f"{key} ")]
    (project / "burnish.toml").write_text("\n".join([*kept, line, ""]))

    found = found_by(burnish, code=1)["agent support"]

    assert not found["ok"]
    assert said in found["detail"]
    assert found["fix"]


def test_nothing_is_imported_when_asked_not_to(project, burnish):
    (project / "clerk_agent.py").write_text("raise SystemExit('imported')\n")

    assert "agent support" not in found_by(burnish, "--no-imports")


def test_a_backend_that_wants_a_token_is_told_from_one_that_is_away(project, burnish):
    class Locked(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps({"error": "no token"}).encode()
            self.send_response(401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Locked) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        with (project / "burnish.toml").open("a") as file:
            file.write(f'backend = "http://127.0.0.1:{server.server_address[1]}"\n')
        detail = found_by(burnish, code=1)["agent support"]["detail"]
        server.shutdown()

    assert "401" in detail


def test_agents_that_burnish_toml_does_not_know_and_runs_without_thread_are_counted(
    project, burnish
):
    recording = Recording(project / ".burnish")
    run = recording.run("cd" * 16, agent="suport", thread_id=None)
    run.end(answer="done")
    recording.writer.close()

    found = found_by(burnish)

    assert found["agents in the journal"]["detail"] == "not in burnish.toml: suport (1 runs)"
    assert found["threads"]["detail"].startswith("3 of 3 ")


def test_missing_extras_are_named_with_their_install_line(project, burnish, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)

    found = found_by(burnish)["extras"]

    assert "redact" in found["detail"]
    assert found["fix"] == "pip install 'burnish[redact]'"
