"""Measure redaction: recall, false alarms and cost.

Recall and false alarms are measured on the made-up texts of `burnish.testing.redaction_kit`, and
alarms also on the reference manual of Python (`pydoc_data.topics`), which holds no personal data.
`secret_recall` is measured on `burnish.testing.secret_corpus`: published forms of secrets in many
contexts; `false_alarm_share` on ordinary texts, the manual and the source of Python's library. The
cost is the CPU time added to one run of 3 model and 3 tool calls, blocks with and without redaction
interleaved, and the speed on text that was not seen before. detect-secrets, if it is installed,
runs on the same texts.

    python benchmarks/capture/redaction.py [--quick] [--json FILE]
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import _report
import overhead

from burnish.errors import ExportError
from burnish.redaction import SECRETS, Redactor
from burnish.testing.redaction_kit import (
    KINDS,
    RedactionReport,
    draw_ordinary_texts,
    draw_samples,
    measure_redaction,
)
from burnish.testing.secret_corpus import measure_secrets

PERSONAL = ("email", "phone", "phone, told by a word", "card", "iban", "ip")


def quality(count: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Return recall and false alarms of all detectors."""
    report = measure_redaction(Redactor(b"key").clean, count, seed=1)
    manual = paragraphs()
    corpus = measure_secrets(Redactor(b"key", SECRETS).clean_value, seed=1)
    cleaned = Redactor(b"key")
    alarms = [text for text in manual if cleaned.clean(text) != text]
    figures = {
        "recall_worst": min(report.recall.values()),
        "recall_personal": mean(report, PERSONAL),
        "recall_secrets": mean(report, [kind for kind in KINDS if kind not in PERSONAL]),
        "false_alarms_percent": 100 * report.false_alarms,
        "manual_alarms": len(alarms),
        "secret_recall": corpus.recall,
        "false_alarm_share": share_of_alarms(count),
    }
    return figures, {
        "secret_forms": corpus.forms,
        "secret_samples": corpus.samples,
        "recall": report.recall,
        "texts_a_kind": count,
        "manual_paragraphs": len(manual),
        "manual_alarms": alarms[:5],
    }


def mean(report: RedactionReport, kinds: Any) -> float:
    return statistics.mean(report.recall[kind] for kind in kinds)


def share_of_alarms(count: int) -> float:
    """Return the share of ordinary texts that are changed: made-up ones, Python's manual and its source."""
    redactor = Redactor(b"key", SECRETS)
    texts = [*draw_ordinary_texts(count * 4, seed=1), *paragraphs(), *source_pieces()]
    return sum(redactor.clean(text) != text for text in texts) / len(texts)


def source_pieces() -> list[str]:
    """Return the source of Python's library in pieces of 20 lines."""
    pieces = []
    for file in sorted(Path(os.__file__).parent.glob("*.py")):
        lines = file.read_text("utf-8").splitlines()
        pieces += ["\n".join(lines[at : at + 20]) for at in range(0, len(lines), 20)]
    return pieces


def paragraphs() -> list[str]:
    """Return Python's manual, paragraph by paragraph."""
    from pydoc_data.topics import topics

    return [part for text in topics.values() for part in text.split("\n\n") if part.strip()]


def cost(quick: bool) -> dict[str, float]:
    """Return the milliseconds that redaction adds to a run, and megabytes a second on unseen text."""
    import burnish

    graph = burnish.wrap(overhead.build(), agent="adder")

    def block(setting: str) -> Callable[[], None]:
        def run() -> None:
            burnish.configure(redact=setting)
            for _ in range(20):
                graph.invoke(overhead.ASK)

        return run

    off, on = block("none"), block("structured")
    off(), on()
    measured = [
        (overhead.cpu_of(off), overhead.cpu_of(on))
        if turn % 2
        else (overhead.cpu_of(on), overhead.cpu_of(off))[::-1]
        for turn in range(8 if quick else 40)
    ]
    added, percent = overhead.added(measured, 20)
    text = "\n\n".join(paragraphs())
    redactor = Redactor(b"key")
    seconds = overhead.cpu_of(lambda: [redactor.clean(part) for part in paragraphs()] and None)
    return {"added_ms": added, "added_percent": percent, "mb_per_s": len(text) / 1e6 / seconds}


def peer(count: int) -> dict[str, float] | None:
    """Run detect-secrets on the same secrets and ordinary texts; None if it is not installed."""
    try:
        from burnish_exporters.redact.engines import secrets_finder

        look = secrets_finder()
    except ExportError:
        return None
    kinds = [kind for kind in KINDS if kind not in PERSONAL]
    ours = Redactor(b"key", SECRETS)
    texts = [sample for kind in kinds for sample in draw_samples(kind, count, seed=1)]
    ordinary = list(draw_ordinary_texts(count * 4, seed=1))
    before = time.process_time()
    hits = sum(any(True for _ in look(sample.text)) for sample in texts)
    alarms = sum(any(True for _ in look(text)) for text in ordinary)
    seconds = time.process_time() - before
    before = time.process_time()
    for text in [sample.text for sample in texts] + ordinary:
        ours.clean(text)
    own = time.process_time() - before
    return {
        "secrets_noticed": hits / len(texts),
        "false_alarms_percent": 100 * alarms / len(ordinary),
        "times_our_cpu": seconds / own,
    }


def main() -> None:
    chosen = _report.options(__doc__).parse_args()
    count = 200 if chosen.quick else 1000
    with tempfile.TemporaryDirectory() as home:
        os.environ["BURNISH_HOME"] = home
        figures, conditions = quality(count)
        figures |= cost(chosen.quick)
    other = peer(20 if chosen.quick else 100)
    if other is not None:
        conditions["detect_secrets"] = other
    _report.tell(figures, conditions, chosen)


if __name__ == "__main__":
    main()
