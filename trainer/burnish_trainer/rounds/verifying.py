"""Verify finished runs in a process beside a loop.

The process ends with the loop, also with one that was killed, because it holds the other end of its standard input. If
it ends before, nothing would be verified any more and no round would become due, so the loop starts it again and tells why.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from burnish_trainer.evaluation.agent_project import AgentProject

_END_S = 10.0


class VerifyingProcess:
    """`burnish verify watch` of an agent; a context manager that ends it.

    Args:
        subject: The agent.
        folder: Existing folder for the log of the process.
    """

    def __init__(self, subject: AgentProject, folder: Path) -> None:
        self._subject, self.log = subject, folder / "verify.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start the process."""
        self._process = self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process."""
        if self._process is not None:
            _end_process(self._process)

    def restart_ended(self) -> int | None:
        """Start the process again if it has ended; return its exit status then, else None."""
        status = None if self._process is None else self._process.poll()
        if self._process is not None and status is not None:
            _end_process(self._process)
            self._process = self._start()
        return status

    def _start(self) -> subprocess.Popen[bytes]:
        home, config = str(self._subject.workspace.home), str(self._subject.project.path)
        watch = ["verify", "watch", self._subject.name, "--home", home, "--end-with-input"]
        environ = {**os.environ, "BURNISH_HOME": home, "BURNISH_CONFIG": config}
        with self.log.open("ab") as output:
            return subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-m", "burnish.cli", *watch],
                env=environ,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
            )


def _end_process(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)
    process.kill()
    process.wait()
    if process.stdin is not None:
        process.stdin.close()


__all__ = ["VerifyingProcess"]
