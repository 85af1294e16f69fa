"""Verifiers that ask others: all of them, any of them, or weighted, with gates."""

import msgspec

from burnish.records import Outcome, Verdict
from burnish_exporters.verify import all_of, any_of, exit_code, outcome, rules, tool_calls, weighted
from golden.table import Case, run_with, tool_run


class Says:
    """A verifier that always says the same."""

    version = "1"

    def __init__(self, label, name, score=None):
        self.label, self.name, self.score = label, name, score

    def verify(self, trajectory):
        """Its label."""
        return Verdict(label=self.label, verifier=self.name, score=self.score)


LABELS = {"s": "success", "f": "fail", "u": "unknown"}
ALL = ["s s", "ss s", "sss s", "f f", "sf f", "fs f", "ff f", "u u", "su u", "us u", "uu u", "fu f", "uf f", "ssu u",
       "sfu f", "ssf f", "s/s s", "s/f f", "s/u u", "f/s f", "u/s u", "s/su u", "s/fu f"]  # fmt: skip
ANY = ["s s", "ss s", "sf s", "fs s", "ff f", "f f", "u u", "su s", "us s", "uu u", "fu u", "uf u", "ffs s", "ffu u",
       "fff f", "uus s", "s/s s", "s/f f", "s/u u", "f/s f", "u/s u", "sf/s s", "sf/f f"]  # fmt: skip
WEIGHED = [("s3", 0.5, "s"), ("f3", 0.5, "f"), ("s3 f1", 0.7, "s"), ("s3 f1", 0.75, "s"), ("s3 f1", 0.8, "f"),
           ("s1 f1", 0.5, "s"), ("s1 f1", 0.51, "f"), ("s1 f3", 0.25, "s"), ("s1 f3", 0.3, "f"), ("s1 s1 f1", 0.6, "s"),
           ("s1 s1 f1", 0.7, "f"), ("f1 f1", 0.0, "s"), ("s1 s1", 1.0, "s"), ("s9 f1", 1.0, "f"), ("u1", 0.5, "u"),
           ("s9 u1", 0.5, "u"), ("f9 u1", 0.5, "u"), ("u1 u1", 0.0, "u"), ("s1/s", 0.5, "s"), ("s9/f", 0.1, "f"),
           ("s9/u", 0.1, "u"), ("f1/s", 0.5, "f")]  # fmt: skip


def _say(letters, kind="part"):
    return [Says(LABELS[letter], f"{kind}{place}") for place, letter in enumerate(letters)]


def _composed(how, text):
    letters, label = text.split()
    parts, _, gates = letters.partition("/")
    return Case(how(*_say(parts), gates=_say(gates, "gate")), run_with(), LABELS[label])


def _weighed(text, threshold, label):
    parts, _, gates = text.partition("/")
    weights = [(LABELS[part[0]], float(part[1:])) for part in parts.split()]
    made = [(Says(said, f"part{place}"), weight) for place, (said, weight) in enumerate(weights)]
    return Case(
        weighted(made, threshold=threshold, gates=_say(gates, "gate")), run_with(), LABELS[label]
    )


_GOOD, _BAD = (run_with(outcomes=[Outcome(source="crm", success=said)]) for said in (True, False))
_REAL = {
    "all_of": all_of(outcome(), tool_calls(), gates=[rules({"deny_tools": ["drop_table"]})]),
    "any_of": any_of(outcome(), exit_code("shell")),
    "weighted": weighted([(outcome(), 3), (tool_calls(), 1)], threshold=0.5),
}
_LATER = {"any_of": "unknown"}  # the outcome failed, and no command was run


def _real(name):
    """The same cases for real verifiers."""
    none = msgspec.structs.replace(_BAD, tool_runs=[tool_run({"exit_code": 1})])
    return [
        Case(_REAL[name], _GOOD, "success"),
        Case(_REAL[name], _BAD, _LATER.get(name, "fail")),
        Case(_REAL[name], none, "fail"),
    ]


GOLDEN = {
    "all_of": [*(_composed(all_of, text) for text in ALL), *_real("all_of")],
    "any_of": [*(_composed(any_of, text) for text in ANY), *_real("any_of")],
    "weighted": [*(_weighed(*case) for case in WEIGHED), *_real("weighted")],
}
