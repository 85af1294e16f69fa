"""Tell over the rounds whether the agent's behaviour collapses.

`check_collapse` is the entry, a pure function of the rounds' facts. What it stands on:

- Training on own runs alone loses the tails first (Shumailov et al. 2024); adding new runs to the old ones prevents it,
  replacing the old ones does not (Gerstgrasser et al. 2024). So data that earlier rounds had and that is gone counts,
  where the tasks it was about do not improve.
- Runs that no check confirms teach the agent its own mistakes. So a training verifier counts that accepts what a check
  rejects.
- Fewer distinct actions are what learning does when success rises. They count where success does not pay for them, and
  so does pass@k that falls below that of an earlier round.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from burnish.statistics.multiplicity import holm_adjust
from burnish.statistics.proportions import normal_tail, wilson_rate
from burnish_trainer.evaluation.guards.findings import Finding
from burnish_trainer.evaluation.guards.round_facts import RoundFacts, Share

_KEPT = 0.5  # share of a kind's training runs that must still be in the data
_FEWEST_RUNS = 5  # of a kind, below which its share says nothing
_LEVEL = 0.01  # of a loss of success by kind, corrected over the kinds
_FALL = 0.1  # smallest loss of a kind that counts
_DIVERSITY = 0.5  # share of distinct actions that must be left where success does not rise
_PASS_AT_K = 0.02  # pass@k that may be lost against an earlier round
_ENTROPY = 0.25  # share of the first round's entropy below which it is noted
_NO_EXTERNAL = 3  # rounds without external data after which it is noted


def check_collapse(rounds: Sequence[RoundFacts], *, floor: float = 0.9) -> list[Finding]:
    """Return what speaks for a collapse in the newest round.

    Args:
        rounds: Facts of all rounds, oldest first.
        floor: Share of right labels that a training verifier must reach, as `verifier_floor` of a dataset.
    """
    if not rounds:
        return []
    now, earlier = rounds[-1], rounds[:-1]
    return [
        *_check_teacher(now, floor),
        *_check_replacement(now, earlier),
        *_check_kinds(now, earlier),
        *_check_diversity(now, earlier),
        *_check_pass_at_k(now, earlier),
        *_note_entropy(now, earlier),
        *_note_sources(rounds),
    ]


def _check_teacher(now: RoundFacts, floor: float) -> Iterator[Finding]:
    """Refuse data that a verifier admitted although a check rejects such runs."""
    if now.teacher is None or not now.teacher[1]:
        return
    wrong, accepted = now.teacher
    rate = wilson_rate(wrong, accepted)
    if rate.low > 1 - floor:
        yield Finding(
            name="collapse.unverified",
            severity="reject",
            statement=f"the verifier of the training data accepts {wrong} of {accepted} runs that the check rejects, "
            f"more than {1 - floor:.0%}: the loop learns its own mistakes",
        )


def _check_replacement(now: RoundFacts, earlier: Sequence[RoundFacts]) -> Iterator[Finding]:
    """Refuse data that dropped most of a kind's runs while the kind stays behind and does not improve."""
    for kind, collected in now.collected.items():
        used = now.used.get(kind, 0)
        if collected < _FEWEST_RUNS or used >= _KEPT * collected:
            continue
        statement = (
            f"the data holds {used} of the {collected} verified runs of {kind} that the rounds have collected: "
            "it replaces what it should add to"
        )
        success = now.kinds.get(kind)
        behind = success is not None and _p_below(success, _without(now.success, success)) < _LEVEL
        if success is not None and behind and not _has_risen(kind, success, earlier):
            part, whole = success
            yield Finding(
                name="collapse.replacement",
                severity="reject",
                statement=f"{statement}, and its success stays at {part / whole:.0%} where other tasks have "
                f"{_rate(_without(now.success, success)):.0%}",
            )
        else:
            yield Finding(name="collapse.replacement", severity="note", statement=statement)


def _check_kinds(now: RoundFacts, earlier: Sequence[RoundFacts]) -> Iterator[Finding]:
    """Refuse a version that lost a kind of tasks which an earlier round could do."""
    best = {
        kind: max((past.kinds[kind] for past in earlier if kind in past.kinds), key=_rate)
        for kind in now.kinds
        if any(kind in past.kinds for past in earlier)
    }
    raw = {kind: _p_below(now.kinds[kind], share) for kind, share in best.items()}
    for kind, p_value in holm_adjust(raw).items():
        before, after = _rate(best[kind]), _rate(now.kinds[kind])
        if p_value < _LEVEL and before - after > _FALL:
            yield Finding(
                name="collapse.kind",
                severity="reject",
                statement=f"success on {kind} fell from {before:.0%} in an earlier round to {after:.0%}",
            )


def _check_diversity(now: RoundFacts, earlier: Sequence[RoundFacts]) -> Iterator[Finding]:
    """Refuse a version that does the same thing everywhere, without more success than before."""
    for name, words in (
        ("actions", "calls"),
        ("sequences", "ways to act"),
        ("states", "final states"),
    ):
        same = [past for past in earlier if past.tasks_sha256 == now.tasks_sha256 and past.runs]
        most = max(same, key=lambda past: getattr(past, name) / past.runs, default=None)
        if most is None or not now.runs or not getattr(most, name):
            continue
        before, after = getattr(most, name) / most.runs, getattr(now, name) / now.runs
        if after >= _DIVERSITY * before or _p_above(now.success, most.success) < 0.05:
            continue
        yield Finding(
            name="collapse.diversity",
            severity="reject",
            statement=f"distinct {words} of a held-out run fell from {before:.2f} to {after:.2f}, and success did not rise "
            f"({_rate(most.success):.0%} then, {_rate(now.success):.0%} now)",
        )
        return


def _check_pass_at_k(now: RoundFacts, earlier: Sequence[RoundFacts]) -> Iterator[Finding]:
    """Doubt a version that solves fewer tasks in k attempts than an earlier one, beyond chance."""
    same = [past for past in earlier if past.tasks_sha256 == now.tasks_sha256]
    for k in sorted(now.pass_at, key=int, reverse=True):
        before = max((past.pass_at[k] for past in same if k in past.pass_at), default=None)
        if int(k) == 1 or before is None:
            continue
        tasks = max(1, now.success[1] // max(map(int, now.pass_at)))
        lost = before - now.pass_at[k]
        error = math.sqrt(max(before * (1 - before), 1 / tasks) * 2 / tasks)
        if lost > _PASS_AT_K and lost > 1.64 * error:
            yield Finding(
                name="collapse.pass_at_k",
                severity="doubt",
                statement=f"pass@{k} fell from {before:.0%} to {now.pass_at[k]:.0%}: fewer tasks are solved at all",
            )
        return


def _note_entropy(now: RoundFacts, earlier: Sequence[RoundFacts]) -> Iterator[Finding]:
    first = next((past.entropy for past in earlier if past.entropy), None)
    if first and now.entropy is not None and now.entropy < _ENTROPY * first:
        yield Finding(
            name="collapse.entropy",
            severity="note",
            statement=f"the entropy of a token fell from {first:.3f} to {now.entropy:.3f} nats; online training explores "
            "little from here",
        )


def _note_sources(rounds: Sequence[RoundFacts]) -> Iterator[Finding]:
    newest = rounds[-_NO_EXTERNAL:]
    shares = [past.external_share for past in newest]
    if len(newest) == _NO_EXTERNAL and all(share == 0 for share in shares):
        yield Finding(
            name="collapse.external",
            severity="note",
            statement=f"{_NO_EXTERNAL} rounds in a row learned from the agent's own runs alone; add demonstrations or "
            "corrected runs",
        )


def _has_risen(kind: str, success: Share, earlier: Sequence[RoundFacts]) -> bool:
    """Return whether a kind's success is shown to be above that of two rounds ago; True where there is no such round."""
    past = earlier[-2].kinds.get(kind) if len(earlier) >= 2 else None
    return past is None or _p_above(success, past) < _LEVEL


def _without(whole: Share, part: Share) -> Share:
    return whole[0] - part[0], whole[1] - part[1]


def _rate(share: Share) -> float:
    return share[0] / share[1] if share[1] else 0.0


def _p_below(now: Share, then: Share) -> float:
    """Return the one-sided p-value of the pooled two-sample test that `now` is below `then`; 1 without data."""
    if not now[1] or not then[1]:
        return 1.0
    pooled = (now[0] + then[0]) / (now[1] + then[1])
    error = math.sqrt(pooled * (1 - pooled) * (1 / now[1] + 1 / then[1]))
    return normal_tail((_rate(then) - _rate(now)) / error) if error else 1.0


def _p_above(now: Share, then: Share) -> float:
    """Return the one-sided p-value of the test that `now` is above `then`; 1 without data."""
    return _p_below(then, now)
