"""Hold the folder of a demo: the example project, its own workspace, receipts of finished stages.

.burnish-demo/0001/
project/      the support desk with its burnish.toml
workspace/    trajectories, datasets, adapters, runs
receipts/     one a stage; an interrupted demo continues after the last
facts.json    the result as data, once it is complete
report.html
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish import settings
from burnish.project import load_project
from burnish_trainer import console
from burnish_trainer.demo.options import DemoOptions
from burnish_trainer.evaluation.agent_project import AgentProject
from burnish_trainer.overrides import apply_overrides
from burnish_trainer.rounds.stages import Stages
from burnish_trainer.run.storage import lock_folder, write_json

AGENT = "support"
NO_ROLLOUTS = {"rollouts": 0}  # users are the only source of runs here


@dataclass
class Scene:
    """One demo in its folder.

    Attributes:
        folder: Its folder.
        options: Its options.
        stages: Receipts of its stages.
        subject: The agent of the example project, verified by goal states.
    """

    folder: Path
    options: DemoOptions
    stages: Stages
    subject: AgentProject

    @property
    def workspace(self) -> Path:
        """Return the folder of the workspace."""
        return self.folder / "workspace"

    def stage_inputs(self, *more: Any) -> list[Any]:
        """Return the inputs of a stage: the options, the agent's code, and the results of earlier stages."""
        chosen = [self.options.seed, self.options.verify, self.options.runs]
        return [*chosen, self.subject.code_sha256, *more]

    def add_seconds(self, now: float) -> float:
        """Return the seconds of work over all parts of an interrupted demo."""
        path = self.folder / "receipts" / "seconds.json"
        before = json.loads(path.read_text()) if path.exists() else 0.0
        write_json(path, before + now)
        return round(before + now, 3)

    def write_facts(self, facts: dict[str, Any]) -> None:
        """Write the facts; the next demo gets its own folder."""
        write_json(self.folder / "facts.json", facts)


@contextlib.contextmanager
def open_scene(options: DemoOptions) -> Generator[Scene]:
    """Open the unfinished demo with the same options, or a new one; the process works in its workspace inside the block.

    Raises:
        TrainingError: Another process plays the same demo.
    """
    folder = _choose_folder(options)
    with lock_folder(folder, "a demo"), _settings_for(folder):
        project = load_project(folder / "project" / "burnish.toml")
        subject = apply_overrides(project, AGENT, {"evaluate": NO_ROLLOUTS})
        yield Scene(folder, options, Stages(folder / "receipts"), subject)


def _choose_folder(options: DemoOptions) -> Path:
    home = options.home.expanduser().absolute()
    elsewhere = ("home", "html", "quiet")  # options that do not distinguish demos
    chosen = {k: str(v) for k, v in dataclasses.asdict(options).items() if k not in elsewhere}
    known = sorted(path for path in home.glob("[0-9]*") if (path / "options.json").exists())
    for folder in reversed(known):
        same = json.loads((folder / "options.json").read_text()) == chosen
        if same and not (folder / "facts.json").exists():
            console.say("continuing the demo in [bold]{}[/]", folder)
            return folder
    folder = home / f"{(int(known[-1].name) if known else 0) + 1:04d}"
    folder.mkdir(parents=True)
    from burnish_trainer.starter.paths import project_path

    ignored = shutil.ignore_patterns("__pycache__", ".*")
    shutil.copytree(project_path(), folder / "project", ignore=ignored)
    write_json(folder / "options.json", chosen)
    console.say("a small support desk, its agent and the bundled model, in [bold]{}[/]", folder)
    return folder


@contextlib.contextmanager
def _settings_for(folder: Path) -> Generator[None]:
    """Point the process's home and burnish.toml at the demo inside the context, and restore them afterwards."""
    before = settings.current()
    given = {"home": folder / "workspace", "config": folder / "project" / "burnish.toml"}
    settings.configure(**given)
    offline = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"  # the demo needs no network and uses none
    try:
        yield
    finally:
        settings.configure(home=before.home)
        if before.config is not None:
            settings.configure(config=before.config)
        if offline is None:
            del os.environ["HF_HUB_OFFLINE"]
