"""Retrain the support desk with each backend: the engine of the process, `burnish serve`, vLLM, its stand-in.

usage: python benchmarks/end_to_end/backends.py [--quick] [--backends embedded serve stand_in vllm]
[--json FILE]

Every backend gets the same tasks and the same 300 fresh runs at temperature 1, 16 at a time, in its
own process and workspace. Afterwards 40 threads meet the canary, and the server is restarted after
20 of them. `stand_in` is `burnish.testing.VllmServer`; `vllm` is a real vLLM for CPUs from
.venv-vllm (`make nightly-vllm`), killed and started again, and left out if it is not installed.
Figures: NAME_before, NAME_after and NAME_gain (held-out success), NAME_promoted (1 or 0),
NAME_lost_attempts (attempts of the evaluation that met an error of the backend), NAME_lost_calls
(of the 40).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "nightly"))  # vllm_process

DESK = ROOT / "examples" / "support_desk"
ROLLOUTS, QUICK_ROLLOUTS = 300, 96
BACKENDS = ("embedded", "serve", "stand_in", "vllm")
_THREADS = 40

Restart = Callable[[], None]


@contextlib.contextmanager
def opened(name: str, folder: Path) -> Iterator[tuple[str, Restart]]:
    """Run a backend inside the block: yield its address in burnish.toml, and a function that restarts it."""
    if name == "embedded":
        yield "embedded", lambda: None
    elif name == "serve":
        from burnish.serving.embedded.engine import Engine
        from burnish.serving.http.server import make_app, running

        engine = Engine("starter")

        def forget() -> None:
            for version in engine.list():
                engine.unload(version)

        with running(make_app("starter", engine=engine)) as address:
            yield address, forget
    elif name == "stand_in":
        from burnish.testing import VllmServer

        with VllmServer("starter") as server:
            yield server.url, server.restart
    else:
        with _real_vllm(folder) as (address, restart):
            yield address, restart


@contextlib.contextmanager
def _real_vllm(folder: Path) -> Iterator[tuple[str, Restart]]:
    """Run a vLLM that requires a token; a restart kills it first."""
    from vllm_process import VllmProcess

    from burnish.serving import resolve_model

    token = secrets.token_hex(8)
    os.environ["BURNISH_TOKEN"] = token
    with VllmProcess(resolve_model("starter"), token=token, log=folder / "vllm.log") as server:

        def restart() -> None:
            server.kill()
            server.start()

        yield server.url, restart


def installed() -> list[str]:
    """Return the backends that can be used here."""
    from vllm_process import PROGRAM

    return [name for name in BACKENDS if name != "vllm" or PROGRAM.exists()]


def play(name: str, rollouts: int, folder: Path) -> dict[str, Any]:
    """Retrain with one backend, then run its canary; return the result."""
    import burnish

    project = folder / "desk"
    shutil.copytree(DESK, project)
    os.chdir(project)
    burnish.configure(home=folder / "home", config=project / "burnish.toml")
    with opened(name, folder) as (address, restart):
        if name in ("stand_in", "vllm"):
            _name_base(project)
        started = time.monotonic()
        report = burnish.retrain(
            "support", backend=address, evaluate={"rollouts": rollouts, "concurrency": 16}
        )
        seconds = time.monotonic() - started
        lost = meet_canary(address, restart) if report.status == "canary" else None
        told = burnish.Workspace().canary("support").status()
    assert report.evaluation is not None
    assert report.decision is not None
    heldout = report.evaluation.pools["heldout"]
    infrastructure: Any = report.evaluation.extras["infrastructure"]
    errors = [n for side in infrastructure.values() for n in side["errors"].values()]
    return {
        "before": heldout.before.rate,
        "after": heldout.after.rate,
        "gain": heldout.gain,
        "ci95": heldout.ci95,
        "decision": report.decision.decision,
        "status": report.status,
        "lost_attempts": sum(errors),
        "lost_calls": lost,
        "canary": {key: told.get(key) for key in ("restored", "taken_over", "not_restored")},
        "seconds": round(seconds, 1),
        "stages": {stage["name"]: stage["seconds"] for stage in report.stages},
    }


def _name_base(project: Path) -> None:
    """Name the base model by its folder, as users of vLLM do: the server has another name for it."""
    from burnish.serving import resolve_model

    path = project / "burnish.toml"
    folder = resolve_model("starter")
    path.write_text(path.read_text().replace('"starter"', f'"{folder}"'))


def meet_canary(address: str, restart: Restart) -> int:
    """Run threads on the routed model and restart the server between them; return the number of failed calls."""
    import burnish
    from burnish.serving import EmbeddedChat
    from burnish.serving.remote.chat_model import make_remote_chat

    own = (
        EmbeddedChat("starter", max_tokens=4)
        if address == "embedded"
        else make_remote_chat(address, None, max_tokens=4, retries=0)
    )
    model, failed = burnish.route(own, agent="support"), 0
    for number in range(_THREADS):
        if number == _THREADS // 2:
            restart()
        try:
            model.invoke("hi", {"configurable": {"thread_id": f"after-{number}"}})
        except Exception as error:  # noqa: BLE001 - any exception that a user would see
            print(f"thread {number}: {type(error).__name__}: {error}", file=sys.stderr)
            failed += 1
    return failed


def figures(found: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Return the figures of all backends."""
    told: dict[str, float] = {}
    for name, one in found.items():
        for key in ("before", "after", "gain", "lost_attempts", "lost_calls"):
            if one[key] is not None:
                told[f"{name}_{key}"] = round(float(one[key]), 4)
        told[f"{name}_promoted"] = float(one["decision"] == "promote")
    return told


def main() -> None:
    """Run, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the stand-in alone, 96 runs")
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=installed())
    parser.add_argument("--json", type=Path)
    parser.add_argument("--alone", choices=BACKENDS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    rollouts = QUICK_ROLLOUTS if args.quick else ROLLOUTS
    if args.alone:
        with tempfile.TemporaryDirectory() as folder:
            found = play(args.alone, rollouts, Path(folder))
            args.json.write_text(json.dumps(found))
            os.chdir("/")
        return
    played: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ["stand_in"] if args.quick else args.backends:
            out = Path(folder) / f"{name}.json"
            command = [sys.executable, __file__, "--alone", name, "--json", str(out)]
            command += ["--quick"] * args.quick
            subprocess.run(command, check=True)
            played[name] = json.loads(out.read_text())
            print(json.dumps({name: played[name]}), flush=True)
    told = figures(played)
    print(json.dumps(told, indent=1))
    if args.json:
        conditions = {
            "rollouts": rollouts,
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "by_backend": played,
        }
        args.json.write_text(json.dumps({"figures": told, "conditions": conditions}, indent=1))


if __name__ == "__main__":
    main()
