"""Run rounds again and again: when an interval is over, when enough new successes were verified, or both.

`RetrainLoop` is the entry of `burnish loop`. One loop of an agent runs at a time. Beside it a process verifies finished runs
(`burnish verify watch`), and the loop lets the canary judge its threads and sends its moves to the hooks.
"""

from __future__ import annotations

import logging
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from burnish.canary.document import RUNNING, name_target
from burnish.config.loop_table import INTERVAL
from burnish.errors import BurnishError, SettingsError
from burnish.project import load_project
from burnish.records import RetrainReport
from burnish_trainer import console
from burnish_trainer.evaluation.agent_project import AgentProject
from burnish_trainer.rounds.context import RoundOptions
from burnish_trainer.rounds.hooks import TransitionHooks
from burnish_trainer.rounds.news import NewsReader, open_news
from burnish_trainer.rounds.stages import find_ended, find_unfinished, read_receipt
from burnish_trainer.rounds.verifying import VerifyingProcess
from burnish_trainer.run.storage import lock_folder, write_json

_UNITS_S = {"m": 60, "h": 3600, "d": 86400}
_LONGEST_PAUSE_S = 3600.0  # after failed rounds
_LOG = logging.getLogger(__name__)

RunRound = Callable[[], RetrainReport]


class RetrainLoop:
    """The loop of one agent.

    Args:
        subject: The agent, with the settings of the loop.
        run_round: Runs one round; by default `retrain` of the agent.
        settings_of_round: The settings that a round of `run_round` has, as `round_settings` returns them.
        read_sources: Reads what the process has loaded and cannot load again: burnish.toml and the agent's code.
    """

    def __init__(
        self,
        subject: AgentProject,
        run_round: RunRound,
        settings_of_round: dict[str, Any],
        read_sources: Callable[[], Any] = lambda: None,
    ) -> None:
        self._subject, self._run_round = subject, run_round
        self._settings, self._config = settings_of_round, subject.config.loop
        self._read_sources, self._sources = read_sources, read_sources()
        self._folder = subject.workspace.home / "runs" / f".loop-{subject.name}"
        self._said = ""
        self._news: NewsReader | None = None
        self._last: Path | None = None
        self._failures = 0  # rounds that failed one after the other
        self._pause_ends = 0.0  # of time.monotonic()

    def run(self, *, once: bool = False) -> bool:
        """Run until the process is interrupted, or until a round is due and its sources have changed.

        Python keeps the code that it has imported. A round would run the agent as it was, and its results would be
        remembered as those of the new code.

        Args:
            once: Look once, without waiting for the interval, and return.

        Returns:
            True if the loop must start again, in a new interpreter; False after one look.

        Raises:
            TrainingError: Another loop of the agent runs.
            SettingsError: Neither an interval nor a number of successes is set.
        """
        if not once:
            refuse_without_schedule(self._subject)
        with (
            lock_folder(self._folder, f"a loop of {self._subject.name!r}"),
            TransitionHooks(self._subject) as hooks,
        ):
            if once:
                return self._look(hooks, once=True)
            with VerifyingProcess(self._subject, self._folder) as verifying:
                while True:
                    self._keep_verifying(verifying, hooks)
                    if self._look(hooks):
                        return True
                    time.sleep(self._config.check_every_s)

    def _keep_verifying(self, verifying: VerifyingProcess, hooks: TransitionHooks) -> None:
        """Start the verifying process again if it has ended, and tell so."""
        status = verifying.restart_ended()
        if status is not None:
            hooks.send("verifying_failed", {"status": status, "log": str(verifying.log)})
            console.say(
                "[bold red]the process that verifies runs ended with status {} and was started again[/]; see {}",
                status,
                verifying.log,
            )

    def _look(self, hooks: TransitionHooks, *, once: bool = False) -> bool:
        """Let the canary judge its threads, and run a round if one is due; a fault is printed, and the loop continues.

        Return True instead of running a round if the sources have changed. After each further failure the loop waits
        twice as long before the next round, an hour at most.
        """
        try:
            observe_canary(self._subject)
            hooks.send_canary_moves()
            reason = self.find_reason_to_wait(ignore_interval=once)
            if reason is not None:
                self._say_once(reason)
                return False
            if self._read_sources() != self._sources:
                console.say("burnish.toml or the agent's code has changed: the loop starts again")
                return True
            write_json(self._folder / "loop.json", {"began": time.time()})
            report = self._run_round()
            self._failures = 0
            console.say("[bold]{}[/]: {}", report.status, "; ".join(report.reasons))
        except Exception as problem:
            if once:
                raise
            self._note_failure(problem, hooks)
        return False

    def _note_failure(self, problem: Exception, hooks: TransitionHooks) -> None:
        """Print a failed round, send it to the hooks, and set the pause before the next one."""
        said = str(problem)
        if not isinstance(problem, BurnishError):
            said = f"{type(problem).__name__}: {problem}"
            _LOG.error("burnish: a round of %s failed", self._subject.name, exc_info=problem)
        pause_s = min(self._config.check_every_s * 2**self._failures, _LONGEST_PAUSE_S)
        self._failures = min(self._failures + 1, 30)
        self._pause_ends = time.monotonic() + pause_s
        hooks.send("round_failed", {"error": said})
        console.say(
            "[bold red]the round failed, the loop of {} continues[/]: {}", self._subject.name, said
        )

    def find_reason_to_wait(self, *, ignore_interval: bool = False) -> str | None:
        """Return why no round is due; None if one is.

        Args:
            ignore_interval: Only the canary and the successes decide.
        """
        subject, home = self._subject, self._subject.workspace.home
        document = subject.workspace.canary(subject.name).document()
        if document.state in RUNNING:
            return f"waiting: the rollout of {name_target(document.candidate)} is {document.state}"
        if time.monotonic() < self._pause_ends and not ignore_interval:
            return f"waiting after failed rounds: {self._failures} in a row"
        left = self._seconds_left()
        if left > 0 and not ignore_interval:
            return f"waiting for the interval of {self._config.every}"
        if find_unfinished(home, subject.name, self._settings) is not None:
            return None
        wanted = self._config.min_new_successes
        found = self._count_new_successes() if wanted else 0
        if found < wanted:
            return f"waiting: {found} of {wanted} new verified successes"
        return None

    def _count_new_successes(self) -> int:
        """Count the verified successes since the last round; all of them before the first."""
        last = find_ended(self._subject.workspace.home, self._subject.name, self._settings)
        if self._news is None or self._last != last:
            dataset = None if last is None else read_receipt(last / "report.json").get("dataset")
            self._news, self._last = open_news(self._subject, last, dataset), last
        return sys.maxsize if self._news is None else self._news.look().successes

    def _seconds_left(self) -> float:
        """Return the seconds until the interval is over; 0 without one."""
        if self._config.every is None:
            return 0.0
        path, now = self._folder / "loop.json", time.time()
        began = read_receipt(path).get("began", 0.0)
        if not isinstance(began, (int, float)):
            began = 0.0
        if began > now:  # the clock was set back: an interval from now on, not one from then
            began = now
            write_json(path, {"began": now})
        return began + parse_interval(self._config.every) - now

    def _say_once(self, reason: str) -> None:
        """Print why the loop waits, once until the reason changes."""
        if reason != self._said:
            console.say("[dim]{}[/]", reason)
        self._said = reason


def refuse_without_schedule(subject: AgentProject) -> None:
    """Refuse a loop that would begin a round at each look.

    Raises:
        SettingsError: Neither an interval nor a number of successes is set.
    """
    config = subject.config.loop
    if config.every is None and not config.min_new_successes:
        raise SettingsError(
            f"[agent.{subject.name}.loop] of {subject.project.path} says not when a round is due",
            'every = "6h", min_new_successes = 100, or both',
            f"burnish loop {subject.name} --every 6h",
        )


def observe_canary(subject: AgentProject) -> None:
    """Let the rollout judge the threads that have new outcomes."""
    if subject.config.canary.decides is not None:
        subject.workspace.canary(subject.name).observe()


def parse_interval(text: str) -> float:
    """Return the seconds of an interval such as "30m", "6h" or "1d"."""
    return float(int(text[:-1]) * _UNITS_S[text[-1]])


def make_cron_line(subject: AgentProject) -> str:
    """Return the line of a crontab that runs the loop once at each interval.

    Raises:
        SettingsError: No interval is set, or cron cannot state it.
    """
    every = subject.config.loop.every
    if every is None:
        raise SettingsError(
            "a cron line without an interval",
            'every = "6h"',
            f"burnish loop {subject.name} --every 6h",
        )
    number, unit = int(every[:-1]), every[-1]
    fields = {
        "m": f"*/{number} * * * *" if 60 % number == 0 and number < 60 else None,
        "h": f"0 */{number} * * *" if 24 % number == 0 and number < 24 else None,
        "d": "0 3 * * *" if number == 1 else None,
    }[unit]
    if fields is None:
        raise SettingsError(
            f"cron cannot state every = {every!r}",
            "minutes that divide an hour, hours that divide a day, or 1d",
            f"burnish loop {subject.name}, which keeps any interval",
        )
    home = str(subject.workspace.home)
    command = [sys.executable, "-m", "burnish.cli", "loop", subject.name, "--once", "--home", home]
    line = f"cd {shlex.quote(str(subject.project.folder))} && {shlex.join(command)}"
    return f"{fields} " + line.replace("%", "\\%")


def apply_schedule(
    subject: AgentProject, every: str | None, min_new_successes: int | None
) -> AgentProject:
    """Return the agent with another schedule.

    Raises:
        SettingsError: The interval has another form.
    """
    from burnish_trainer.overrides import apply_overrides

    if every is not None and INTERVAL.fullmatch(every) is None:
        raise SettingsError(
            f"--every {every!r}",
            'minutes, hours or days, such as "30m", "6h" or "1d"',
            f"burnish loop {subject.name} --every 6h",
        )
    given = {"every": every, "min_new_successes": min_new_successes}
    loop = {key: value for key, value in given.items() if value is not None}
    return apply_overrides(subject.project, subject.name, {"loop": loop})


def open_loop(subject: AgentProject, **overrides: Any) -> RetrainLoop:
    """Return the loop of an agent whose rounds have these settings.

    Args:
        subject: The agent.
        **overrides: Settings of `[agent.NAME]` for its rounds.
    """
    from burnish_trainer.overrides import apply_overrides
    from burnish_trainer.retrain import retrain, round_settings

    name, options = subject.name, RoundOptions()
    changed = apply_overrides(subject.project, name, overrides)

    def read_sources() -> Any:
        project = load_project()
        read = AgentProject(project, project.agent(name))
        return round_settings(read, options), read.config.loop

    return RetrainLoop(
        subject,
        lambda: retrain(name, **overrides),
        round_settings(changed, options),
        read_sources,
    )


__all__ = ["RetrainLoop", "apply_schedule", "make_cron_line", "open_loop"]
