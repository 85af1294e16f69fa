"""Choose the text of an agent's prompt for the next call: the version that the pointer names, or the default.

`prompt` is the entry. The pointer names a prompt beside the adapter, so the choice of a call's prompt is also the choice
of its model: the routed call that follows in the same context takes both from one reading of the pointer. The version is
noted in the running trajectory, which records it with each call.
"""

from __future__ import annotations

from contextvars import ContextVar
from pathlib import Path

from burnish import settings
from burnish.adapters.prompt_store import SYSTEM, PromptVersion, read_prompt
from burnish.canary.router import Router, RoutingChoice
from burnish.capture import faults
from burnish.capture.recorder.context import current_run, current_thread_id
from burnish.errors import CaptureError, RegistryError
from burnish.langchain.given_prompts import find_given


class _HeldChoice:
    """The choice that gave a prompt, for the model call that follows."""

    __slots__ = ("agent", "choice", "home", "taken", "thread")

    def __init__(self, agent: str, home: Path, thread: str | None, choice: RoutingChoice) -> None:
        self.agent, self.home, self.thread, self.choice = agent, home, thread, choice
        self.taken = False


_held: ContextVar[_HeldChoice | None] = ContextVar("burnish_held_choice", default=None)


def prompt(
    agent: str,
    default: str,
    *,
    name: str = SYSTEM,
    thread_id: str | None = None,
    home: Path | str | None = None,
) -> str:
    """Return the text of an agent's prompt for the call that follows.

    It is the text of the version that the pointer names for this thread, or the default. Call it for each model call,
    inside the node: `SystemMessage(burnish.prompt("support", SYSTEM))`.

    Args:
        agent: Name of the agent in the workspace.
        default: The agent's own text.
        name: Name of the prompt, for agents with several.
        thread_id: The conversation; by default that of the running graph.
        home: Folder of the workspace; by default that of the settings.

    Raises:
        CaptureError: If the default is not a string.
    """
    if not isinstance(default, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise CaptureError(
            f"the default of prompt {name!r} is {type(default).__name__}",
            "the agent's own text",
            f'burnish.prompt("{agent}", "You are ...")',
        )
    version = find_prompt(agent, name, thread_id=thread_id, home=home)
    return default if version is None else version.text(name, default)


def find_prompt(
    agent: str,
    name: str = SYSTEM,
    *,
    thread_id: str | None = None,
    home: Path | str | None = None,
) -> PromptVersion | None:
    """Return the version that gives an agent's prompt for the call that follows; None if the agent's own text does.

    Args:
        agent: Name of the agent.
        name: Name of the prompt.
        thread_id: The conversation; by default that of the running graph.
        home: Folder of the workspace; by default that of the settings.
    """
    given = find_given()
    if given is not None and agent in given.versions:
        given.asked.add((agent, name))
        return _note_version(agent, given.versions[agent])
    folder = Path(home) if home is not None else settings.current().home
    thread = thread_id if thread_id is not None else current_thread_id()
    choice = Router.shared(folder, agent).choose(thread, counted=False)
    _held.set(_HeldChoice(agent, folder, thread, choice))
    version = choice.target.prompt if choice.target is not None else None
    return _note_version(agent, None if version is None else _read_version(folder, version))


def take_choice(agent: str, home: Path, thread: str | None) -> RoutingChoice | None:
    """Return the choice that gave the prompt of this call, once; None if no prompt was asked for.

    Args:
        agent: Name of the agent.
        home: Folder of the workspace.
        thread: The conversation of the call.
    """
    held = _held.get()
    if held is None or held.taken:
        return None
    if (held.agent, held.home, held.thread) != (agent, home, thread):
        return None
    held.taken = True
    return held.choice


def _read_version(home: Path, version: str) -> PromptVersion | None:
    """Read a version; one that cannot be read is counted, and the agent's own text answers."""
    try:
        return read_prompt(home, version)
    except (RegistryError, OSError) as problem:
        faults.say_once(
            f"prompt version that cannot be read: {version}",
            f"the agent's own prompt answers in place of {version}: {problem}",
        )
        return None


def _note_version(agent: str, version: PromptVersion | None) -> PromptVersion | None:
    """Note the version in the running trajectory, whose calls are recorded with it."""
    run = current_run()
    if run is not None:
        run.trajectory.prompts[agent] = version.id if version is not None else None
    return version
