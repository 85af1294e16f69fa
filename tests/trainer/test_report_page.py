"""The page of a report is one file that anyone can read: by keyboard and by ear, in the dark, on a narrow screen."""

import html.parser
import itertools
import re
from collections import Counter

import pytest
from test_report import NAMED, evaluated  # noqa: F401 - a fixture

from burnish_trainer.report import assemble_report, render_page
from burnish_trainer.report.page import _STYLE
from burnish_trainer.report.pictures import draw_curve, draw_trend

VOID = {"meta", "br", "hr", "img", "link"}


class Outline(html.parser.HTMLParser):
    """Reads the elements of a page with those that hold them, and the text of each."""

    def __init__(self, page):
        super().__init__()
        self.open, self.found, self.texts = [], [], {}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs), [name for name, _ in self.open]))
        if tag not in VOID:
            self.open.append((tag, len(self.found)))

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs), [name for name, _ in self.open]))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        name, _ = self.open.pop()
        assert name == tag, f"</{tag}> closes <{name}>"

    def handle_data(self, data):
        for _, number in self.open:
            self.texts[number] = self.texts.get(number, "") + data

    def all(self, tag):
        return [(attrs, path) for name, attrs, path in self.found if name == tag]


@pytest.fixture
def page(evaluated):  # noqa: F811
    return render_page(assemble_report(evaluated[1], evaluated[0]))


def test_elements_are_closed_ids_are_unique_and_links_lead_somewhere(page):
    outline = Outline(page)
    assert outline.open == []
    ids = Counter(attrs["id"] for _, attrs, _ in outline.found if "id" in attrs)
    assert [name for name, count in ids.items() if count > 1] == []
    links = [attrs["href"] for attrs, _ in outline.all("a")]
    assert links
    assert [link for link in links if link.removeprefix("#") not in ids] == []


def test_pictures_and_tables_can_be_read_without_seeing_them(page):
    outline = Outline(page)
    pictures = outline.all("svg")
    assert pictures
    for attrs, _ in pictures:
        assert attrs["role"] == "img"
        assert re.search(r"\d", attrs["aria-label"]), "the label tells the figures"
    tables = outline.all("table")
    assert len(outline.all("caption")) == len(tables)
    assert {attrs.get("scope") for attrs, _ in outline.all("th")} == {"col", "row"}
    headings = [int(tag[1]) for tag, _, _ in outline.found if re.fullmatch(r"h[1-6]", tag)]
    assert headings[0] == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(headings))


def test_what_is_wide_scrolls_in_a_frame_that_the_keyboard_reaches(page):
    outline = Outline(page)
    frames = [attrs for attrs, _ in outline.all("div") if attrs.get("class") == "scroll"]
    assert len(frames) == len(outline.all("table")) + len(outline.all("svg"))
    assert all((f["tabindex"], f["role"]) == ("0", "region") and f["aria-label"] for f in frames)
    wide = re.findall(r"([^{}]+)\{[^{}]*min-width: (\d+)rem", _STYLE)
    assert [(name.strip(), int(size)) for name, size in wide] == [(".scroll svg", 34)]


def _read_schemes():
    """The variables of the light scheme, and those of the dark one."""
    light, dark = re.findall(r":root \{([^}]*)\}", _STYLE)
    read = [dict(re.findall(r"(--\w+): (#[0-9a-f]{6})", block)) for block in (light, dark)]
    assert read[0].keys() == read[1].keys()
    return read


def _contrast(one, two):
    """WCAG 2.2, contrast ratio."""

    def luminance(colour):
        shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
        return sum(weight * s for weight, s in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    high, low = sorted((luminance(one), luminance(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_and_pictures_stand_out_in_both_schemes(scheme):
    found = _read_schemes()[scheme]
    paper = found["--paper"]
    for name in ("--ink", "--soft", "--link", "--bad"):
        assert _contrast(found[name], paper) >= 4.5, name
    for name in ("--old", "--new"):
        assert _contrast(found[name], paper) >= 3, name


def test_pictures_take_their_colours_from_the_scheme(page):
    drawn = "".join(re.findall(r"<svg .*?</svg>", page, re.DOTALL))
    told = re.sub(r"var\(--\w+, #[0-9a-f]{6}\)", "", drawn)
    assert set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", told)) == set()
    assert "<text" in drawn
    assert re.findall(r"<text(?![^>]*fill: var)[^>]*>", drawn) == []


def test_both_runs_of_a_broken_task_are_side_by_side(page):
    outline = Outline(page)
    pairs = [attrs["id"] for attrs, path in outline.all("div") if attrs.get("class") == "pair"]
    linked = {attrs["href"].removeprefix("#") for attrs, _ in outline.all("a")}
    assert len(pairs) == 2
    assert set(pairs) <= linked
    (fixed,) = [
        text
        for number, text in outline.texts.items()
        if outline.found[number - 1][0] == "details" and NAMED in text
    ]
    assert fixed.count("Error: busy") == 2, "both broken calls of the run before"
    assert "failed" in fixed
    assert fixed.index("base") < fixed.index("desk@0123456789ab")


def test_a_run_that_is_gone_is_told_beside_the_other(evaluated):  # noqa: F811
    facts = assemble_report(evaluated[1], evaluated[0])
    facts["flips"]["fixed"][0]["steps"]["before"] = None
    assert "This run is not in the workspace any more." in render_page(facts)


def test_trends_and_curves_tell_their_values():
    trend = draw_trend(["base", "x@1"], [("success", [(0.5, (0.2, 0.8)), None])])
    assert 'aria-label="Shares in percent over 2 rounds. success: 50.0, none."' in trend
    curve = draw_curve([{"step": 1, "loss": 2.0}, {"step": 9, "loss": 0.5}])
    assert "2.000 at step 1, 0.500 at step 9" in curve
