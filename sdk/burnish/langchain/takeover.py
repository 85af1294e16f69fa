"""Choose another version for a call whose version is lost or whose backend does not answer.

`Takeover.choose_next` tries, in order: the version itself after a reload, the stable version, the base
model of the same backend. Such calls have the arm "takeover", so that they are evidence for neither
arm of a canary.
"""

from __future__ import annotations

from typing import Literal

from burnish.adapters.pointer import Target
from burnish.canary.reconciler import Reconciler
from burnish.canary.router import Router, RoutingChoice
from burnish.errors import BackendUnavailable, UnknownAdapter
from burnish.serving.remote.endpoint import engine_died, error_status

Failure = Literal["lost", "unavailable"]
_UNAVAILABLE = frozenset({401, 403, 408, 425, 429, 502, 503, 504})
_BROKEN = ("APIConnectionError", "APITimeoutError", "TransportError", "ConnectError")


def classify_failure(error: BaseException) -> Failure | None:
    """Classify an error: the backend lost the version, or does not answer; None for other errors."""
    status = error_status(error)
    if isinstance(error, UnknownAdapter) or status == 404:
        return "lost"
    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, BackendUnavailable) or names & set(_BROKEN) or status in _UNAVAILABLE:
        return "unavailable"
    if engine_died(error):
        return "unavailable"
    return None


class Takeover:
    """The fallbacks of one call.

    Args:
        router: Router of the agent.
        reconciler: Reconciler of the agent.
        choice: Target chosen at the start of the call.
    """

    def __init__(self, router: Router, reconciler: Reconciler, choice: RoutingChoice) -> None:
        self._router = router
        self._reconciler = reconciler
        self._choice = choice
        self._tried: list[Target | None] = []
        self._restored: set[Target] = set()

    def choose_next(self, failed: RoutingChoice, error: BaseException) -> RoutingChoice | None:
        """Return the next target after a failure, or None to raise the error. May take a second.

        Args:
            failed: The target that failed.
            error: Its error.
        """
        failure, target = classify_failure(error), failed.target
        if failure is None or target is None:
            return None
        if failure == "lost" and target.adapter and target not in self._restored:
            self._restored.add(target)
            if self._reconciler.restore(target):
                return failed
        self._tried.append(target)
        for other in self._list_fallbacks(target, failure):
            if other not in self._tried:
                if len(self._tried) == 1:
                    self._reconciler.taken_over(target, str(error)[:200])
                    self._router.counts["takeover"] += 1
                return self._choice._replace(target=other, arm="takeover")
        return None

    def _list_fallbacks(self, target: Target, failure: Failure) -> list[Target | None]:
        """Return the stable version and, for a lost version, the base model of its backend."""
        others: list[Target | None] = []
        if self._choice.arm == "canary" or target != self._router.pointer.stable:
            others.append(self._router.pointer.stable)
        if failure == "lost" and target.adapter:
            others.append(Target(backend=target.backend, base_model=target.base_model))
        return others
