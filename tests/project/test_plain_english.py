"""The prose of the project keeps to the plain wordings that plain_english.py lists."""

from __future__ import annotations

from pathlib import Path

import plain_english
import pytest


def test_no_file_has_a_banned_phrase() -> None:
    found = plain_english.find_phrases(list(plain_english.PLACES))

    assert "\n".join(map(str, found)) == ""


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ('"""Return the name."""\nx = "nobody"\n', []),
        ('"""Whether it has a name."""\n', ["Whether"]),
        ('"""Return\n\nwhat nobody reads."""\n', ["nobody"]),
        ("x = 1  # an object that is no data\n", ["is no "]),
        ("nobody = 1  # there is no data\n", []),
    ],
)
def test_docstrings_and_comments_are_read_and_names_are_not(
    text: str, phrases: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_english, "ROOT", tmp_path)
    source = tmp_path / "sdk" / "module.py"
    source.parent.mkdir()
    source.write_text(text)

    found = plain_english.find_phrases(["sdk"])

    assert [finding.phrase for finding in found] == phrases
