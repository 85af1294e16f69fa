"""Check the contract of `burnish.protocols.Backend` on any backend.

    case = BackendCase(backend=mine, versions={"a@1": folder_a, "b@2": folder_b})

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_backend(check):
        check(case)

Each check leaves the backend with no version loaded. The folders hold PEFT adapters with a
fingerprint.json each, made for the base model that the backend serves; the two must differ.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import tempfile
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

from burnish.errors import BurnishError, ServingError, UnknownAdapter
from burnish.protocols import Backend, Generation
from burnish.records import Json, Message

_ASKED: list[Message] = [
    {"role": "user", "parts": [{"type": "text", "content": "Name the seven seas."}]}
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackendCase:
    """A backend with two versions that it can load."""

    backend: Backend
    versions: Mapping[str, Path]
    max_tokens: int = 12

    def ask(self, adapter: str | None, **sampling: Json) -> Generation:
        """Send the same request to a version, with greedy sampling by default."""
        given = {"max_tokens": self.max_tokens, "temperature": 0.0} | sampling
        return self.backend.generate(_ASKED, [], adapter, **given)

    @contextlib.contextmanager
    def load_versions(self, *versions: str) -> Generator[Backend]:
        """Load some versions inside the context, and unload all afterwards."""
        for version in versions:
            self.backend.load(version, self.versions[version])
        try:
            yield self.backend
        finally:
            for version in list(self.backend.list()):
                self.backend.unload(version)


def it_is_a_backend(case: BackendCase) -> None:
    """Check that it has all calls of the protocol and states what it serves."""
    _require(isinstance(cast("object", case.backend), Backend), "a call of the protocol is missing")
    facts = case.backend.capabilities()
    for name in ("base_model", "runtime_adapters", "max_rank"):
        _require(name in facts, f"capabilities() lacks {name}")


def it_lists_what_is_loaded(case: BackendCase) -> None:
    """Check that a version is listed from load to unload, and that a second load is harmless."""
    one, two = case.versions
    with case.load_versions(one, two) as backend:
        backend.load(one, case.versions[one])
        _require(
            sorted(backend.list()) == sorted([one, two]), "list() differs from the loaded versions"
        )
        backend.unload(two)
        _require(list(backend.list()) == [one], "an unloaded version is still listed")
    _require(not list(case.backend.list()), "versions remain after unload()")


def it_answers_with_the_version_that_was_asked(case: BackendCase) -> None:
    """Check that each answer is stamped with its version, and that versions answer differently."""
    one, two = case.versions
    with case.load_versions(one, two):
        answers = {adapter: case.ask(adapter) for adapter in (None, one, two)}
    for adapter, answer in answers.items():
        _require(answer.adapter == adapter, f"asked {adapter}, stamped {answer.adapter}")
        _require(len(answer.logprobs) == len(answer.token_ids) > 0, "a token lacks its logprob")
        _require(bool(answer.prompt_token_ids), "the ids of the prompt are missing")
    said = {tuple(answer.token_ids) for answer in answers.values()}
    _require(len(said) == len(answers), "two versions give the same answer")


def it_never_answers_for_an_unknown_version(case: BackendCase) -> None:
    """Check that an unknown version raises UnknownAdapter in generate, probe and unload."""
    for act in (case.ask, case.backend.unload):
        with _expect_error(UnknownAdapter, "an unknown version was accepted"):
            act("nonesuch@000000000000")
    one, _ = case.versions
    with case.load_versions(one):
        pass
    with _expect_error(UnknownAdapter, "an unloaded version still answers"):
        case.ask(one)


def it_proves_what_it_serves(case: BackendCase) -> None:
    """Check that a probe passes for the right weights and fails for other weights under the name."""
    one, two = case.versions
    with case.load_versions(one) as backend:
        facts = backend.probe(one)
        _require(
            facts["to_adapter"] < facts["to_base"],
            "the probe cannot distinguish the adapter from the base",
        )
    with tempfile.TemporaryDirectory() as scratch:
        mixed = Path(shutil.copytree(case.versions[one], Path(scratch) / "mixed"))
        fingerprint = (case.versions[two] / "fingerprint.json").read_bytes()
        (mixed / "fingerprint.json").write_bytes(fingerprint)
        case.backend.load("mixed@111111111111", mixed)
        try:
            with _expect_error(
                ServingError, "a probe accepted other weights than the fingerprint's"
            ):
                case.backend.probe("mixed@111111111111")
        finally:
            case.backend.unload("mixed@111111111111")


def it_refuses_what_it_cannot_serve_exactly(case: BackendCase) -> None:
    """Check that a missing folder, a cut file and DoRA are refused and not listed."""
    one, _ = case.versions
    with tempfile.TemporaryDirectory() as scratch:
        cut = Path(shutil.copytree(case.versions[one], Path(scratch) / "cut"))
        weights = cut / "adapter_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-64])
        dora = Path(shutil.copytree(case.versions[one], Path(scratch) / "dora"))
        config = json.loads((dora / "adapter_config.json").read_text(encoding="utf-8"))
        (dora / "adapter_config.json").write_text(json.dumps(config | {"use_dora": True}))
        for folder in (Path(scratch) / "nowhere", cut, dora):
            with _expect_error(BurnishError, f"{folder.name} was accepted"):
                case.backend.load(f"{folder.name}@222222222222", folder)
    _require(not list(case.backend.list()), "a refused version is listed")


def it_never_reuses_a_name(case: BackendCase) -> None:
    """Check that a loaded name is refused for other weights."""
    one, two = case.versions
    with case.load_versions(one) as backend:
        before = case.ask(one).token_ids
        with _expect_error(ServingError, "a loaded name was accepted for other weights"):
            backend.load(one, case.versions[two])
        _require(case.ask(one).token_ids == before, "the version changed under its name")


def it_draws_by_the_seed(case: BackendCase) -> None:
    """Check that a seed gives the same tokens alone and in a batch, and that seeds differ."""
    one, _ = case.versions
    with case.load_versions(one):
        alone = case.ask(one, temperature=1.0, seed=5).token_ids
        with ThreadPoolExecutor(6) as pool:
            asked = [pool.submit(case.ask, one, temperature=1.0, seed=seed) for seed in range(6)]
            among = [answer.result().token_ids for answer in asked]
        _require(among[5] == alone, "another request in the batch changed the tokens of a seed")
        _require(len({tuple(tokens) for tokens in among}) > 1, "the seed changes nothing")


def it_keeps_a_running_request_through_an_unload(case: BackendCase) -> None:
    """Check that running requests finish unchanged while their version is unloaded."""
    one, two = case.versions
    with case.load_versions(one, two) as backend:
        expected = case.ask(one).token_ids
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(case.ask, one) for _ in range(4)]
            backend.unload(one)
            for answer in asked:
                try:
                    _require(answer.result().token_ids == expected, "an unload changed an answer")
                except UnknownAdapter:
                    continue  # it arrived after the unload


CHECKS: tuple[Callable[[BackendCase], None], ...] = (
    it_is_a_backend,
    it_lists_what_is_loaded,
    it_answers_with_the_version_that_was_asked,
    it_never_answers_for_an_unknown_version,
    it_proves_what_it_serves,
    it_refuses_what_it_cannot_serve_exactly,
    it_never_reuses_a_name,
    it_draws_by_the_seed,
    it_keeps_a_running_request_through_an_unload,
)
"""All checks of the contract."""


def run_all(case: BackendCase) -> dict[str, str | None]:
    """Run every check; return each check's error by its name, None if it passed."""
    report: dict[str, str | None] = {}
    for check in CHECKS:
        try:
            check(case)
        except (AssertionError, BurnishError) as error:
            report[check.__name__] = str(error)
        else:
            report[check.__name__] = None
    return report


def _require(held: bool, otherwise: str) -> None:
    if not held:
        raise AssertionError(otherwise)


@contextlib.contextmanager
def _expect_error(kind: type[BurnishError], otherwise: str) -> Generator[None]:
    try:
        yield
    except kind:
        return
    raise AssertionError(otherwise)
