"""Store prompt versions on disk: named by content, published atomically, never changed.

    home/prompts/support-prompt@1a2b3c4d5e6f/
        prompt.json     the texts by name, and those that they replace; the name is a hash over the texts
        report.json     how the texts were made and what they were measured with

A version holds the text of each named prompt of an agent; most agents have one, named "system".
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import msgspec

from burnish.errors import RegistryError
from burnish.files.paths import is_plain_name, is_version_id
from burnish.files.storage import BROKEN_JSON, atomic_write, make_private_folder, read_regular
from burnish.journal.events import canonical
from burnish.records import Json, Record

SYSTEM = "system"
"""Name of the only prompt of most agents."""
_KIND = "-prompt"


class PromptVersion(Record, frozen=True, kw_only=True):
    """The texts of an agent's prompts, under the name of their content."""

    id: str
    agent: str
    texts: dict[str, str]
    defaults: dict[str, str] = msgspec.field(
        default_factory=dict[str, str]
    )  # the agent's own texts, which these replace
    created_at: str = ""

    def text(self, name: str, default: str) -> str:
        """Return the text of a prompt, or the default if the version has none of that name."""
        return self.texts.get(name, default)


def prompt_id(agent: str, texts: Mapping[str, str]) -> str:
    """Return the id of a version with these texts.

    Raises:
        RegistryError: If the agent's name cannot name a folder, or a text is empty or not valid Unicode.
    """
    if not is_plain_name(agent + _KIND):
        raise RegistryError(
            f"agent name {agent!r}", "letters, digits, '.', '_' and '-'", "rename the agent"
        )
    for name, text in texts.items():
        if not name or not text.strip():
            raise RegistryError(
                f"the prompt {name!r} of {agent!r} is empty", "a name and a text", "write the text"
            )
    if not texts:
        raise RegistryError(f"a prompt version of {agent!r} without texts", "at least one text")
    try:
        content = canonical(dict(texts))
        "".join([*texts, *texts.values()]).encode()
    except UnicodeError as problem:
        raise RegistryError(
            f"a prompt of {agent!r} cannot be stored: {problem}", "texts in valid Unicode"
        ) from problem
    return f"{agent}{_KIND}@{hashlib.sha256(content).hexdigest()[:12]}"


class PromptStore:
    """The prompt versions of one workspace.

    Args:
        home: Folder of the workspace.
    """

    def __init__(self, home: Path) -> None:
        self.folder = Path(home) / "prompts"

    def put(
        self,
        agent: str,
        texts: Mapping[str, str],
        *,
        defaults: Mapping[str, str] | None = None,
        report: Mapping[str, Json] | None = None,
    ) -> PromptVersion:
        """Store the texts of an agent's prompts; a version that exists keeps its texts and gets the report.

        Args:
            agent: Name of the agent.
            texts: Text by name of the prompt.
            defaults: The agent's own texts, which these replace.
            report: How the texts were made.

        Raises:
            RegistryError: If a text or the agent's name cannot be stored, or the stored version was altered.
        """
        version = prompt_id(agent, texts)
        folder = self.folder / version
        if not (folder / "prompt.json").exists():
            made = PromptVersion(
                id=version,
                agent=agent,
                texts=dict(texts),
                defaults=dict(defaults or {}),
                created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            )
            make_private_folder(folder)
            atomic_write(folder / "prompt.json", _encode(made))
        if report is not None:
            atomic_write(folder / "report.json", _encode(dict(report)))
        return self.get(version)

    def get(self, version: str) -> PromptVersion:
        """Return a version.

        Raises:
            RegistryError: If the workspace holds none of that name, or its file was altered.
        """
        path = self.folder / version / "prompt.json"
        if not is_version_id(version) or not os.path.lexists(path):
            raise RegistryError(
                f"no prompt {version!r} in {self.folder}",
                "the id of a prompt version",
                "burnish prompts list",
            )
        try:
            found = msgspec.json.decode(read_regular(path), type=PromptVersion)
            whole = prompt_id(found.agent, found.texts) == version == found.id
        except (OSError, RegistryError, *BROKEN_JSON) as problem:
            raise _altered(path, str(problem)) from problem
        if not whole:
            raise _altered(path, "its texts do not belong to its name")
        return found

    def report(self, version: str) -> dict[str, Json]:
        """Return how a version was made; empty if it was written by hand or its report is damaged."""
        path = self.folder / self.get(version).id / "report.json"
        try:
            return msgspec.json.decode(read_regular(path), type=dict[str, Json])
        except (OSError, *BROKEN_JSON):
            return {}

    def list(self, agent: str | None = None) -> list[PromptVersion]:
        """List the versions, oldest first; files that were altered are left out."""
        found = [
            version
            for version in map(self._read, self._list_files())
            if version is not None and agent in (None, version.agent)
        ]
        return sorted(found, key=lambda version: (version.created_at, version.id))

    def find_altered(self) -> Sequence[Path]:
        """Return the files that were altered or damaged, which `list` leaves out."""
        return [path for path in self._list_files() if self._read(path) is None]

    def _list_files(self) -> Iterator[Path]:
        """Return the file of each version."""
        paths = (folder / "prompt.json" for folder in sorted(self.folder.glob("[!.]*@*")))
        return (path for path in paths if os.path.lexists(path))

    def _read(self, path: Path) -> PromptVersion | None:
        """Read the version in a file; None if it was altered."""
        try:
            return self.get(path.parent.name)
        except RegistryError:
            return None


@lru_cache(maxsize=256)
def read_prompt(home: Path, version: str) -> PromptVersion:
    """Return a version, read once for each process; its content never changes.

    Raises:
        RegistryError: If the workspace holds none of that name, or its file was altered.
    """
    return PromptStore(home).get(version)


def _encode(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2)


def _altered(path: Path, problem: str) -> RegistryError:
    return RegistryError(
        f"{path} was altered or damaged: {problem}",
        "the file as it was written",
        "restore it from a backup, or write the texts again under a new version",
    )
