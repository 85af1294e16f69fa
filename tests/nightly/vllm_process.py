"""Start a real vLLM for CPUs on the loopback, kill it and start it again.

`make nightly-vllm` installs it in .venv-vllm. Needs no package of burnish:

    with VllmProcess(folder, token="secret", log=Path("vllm.log")) as server:
        server.kill()       # SIGKILL to all of its processes
        server.start()      # on the same port; its adapters are gone
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
from receivers import free_port

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / ".venv-vllm/bin/vllm"
TOKEN = "s3cret-of-the-night"
_LONGEST_START_S = 600
_OPTIONS = (
    "--dtype float32 --enforce-eager --max-num-seqs 32 --enable-auto-tool-choice "
    "--tool-call-parser hermes --enable-lora --max-loras 4 --max-cpu-loras 8"
)
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GB
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}


class VllmProcess:
    """A vLLM server with the routes for adapters.

    Args:
        base_model: Folder of the base model.
        served_name: What clients call the base model.
        token: Bearer token that it asks for.
        max_lora_rank: Largest rank that it loads.
        log: File for what it prints.
    """

    def __init__(
        self,
        base_model: Path,
        *,
        served_name: str = "base",
        token: str,
        max_lora_rank: int = 16,
        log: Path,
    ) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.served_name = served_name
        self.token = token
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._command = [
            *(str(PROGRAM), "serve", str(base_model), "--served-model-name", served_name),
            *("--host", "127.0.0.1", "--port", str(port), "--api-key", token),
            *("--max-lora-rank", str(max_lora_rank), *_OPTIONS.split()),
        ]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._signal(signal.SIGTERM)
        self.kill()

    def start(self) -> float:
        """Start the server and wait until it answers; return the seconds that this took.

        Raises:
            AssertionError: If it ends, or does not answer in ten minutes.
        """
        self.launch()
        return self.wait()

    def launch(self) -> None:
        """Start the server without waiting."""
        assert PROGRAM.exists(), "make nightly-vllm installs vLLM"
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                self._command,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **_ENVIRONMENT},
                start_new_session=True,  # its engine and workers are killed together with it
            )
        self._launched = time.monotonic()

    def wait(self) -> float:
        """Wait until a launched server answers; return the seconds since it was launched.

        Raises:
            AssertionError: If it ends, or does not answer in ten minutes.
        """
        assert self._process is not None
        while time.monotonic() - self._launched < _LONGEST_START_S and self._process.poll() is None:
            if self.answers():
                return time.monotonic() - self._launched
            time.sleep(0.5)
        self.kill()
        raise AssertionError(f"vLLM does not start: {self._log.read_text()[-3000:]}")

    def answers(self) -> bool:
        """Return whether the server is ready for requests."""
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/health", timeout=5).status_code == 200
        return False

    def kill(self) -> None:
        """Kill the server at once with all of its processes."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(60)
            self._process = None

    def kill_engine(self) -> None:
        """Kill the process that computes, and leave the one that answers HTTP."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for pid in map(int, children.read_text().split()):
            if b"EngineCore" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
                return
        raise AssertionError(f"vLLM has no engine process: {children.read_text()}")

    def _signal(self, number: int) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            if number == signal.SIGTERM:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(20)
