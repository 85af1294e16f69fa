"""A real browser shows the page of a report: nothing wider than the window, in both schemes; each link leads to its runs."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess

import pytest
from test_report import NAMED, evaluated  # noqa: F401 - a fixture
from test_report_facts import with_prompt

from burnish_trainer.report import assemble_report, render_page

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)  # fmt: skip
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
MEASURE = """
<script>
addEventListener("load", () => {
  const page = document.querySelector("iframe").contentDocument, root = page.documentElement
  const frames = [...page.querySelectorAll(".scroll")]
  const box = one => one.getBoundingClientRect()
  const hidden = [...page.querySelectorAll("summary, h2, p, li, a")].filter(
    one => box(one).right > root.clientWidth + 1 && !one.closest(".scroll") && !one.closest("details:not([open])"))
  const links = [...page.querySelectorAll("a")].map(one => one.getAttribute("href").slice(1))
  page.querySelectorAll("details").forEach(one => one.open = true)
  const found = {
    wider: root.scrollWidth - root.clientWidth,
    hidden: hidden.map(one => one.textContent),
    paper: page.defaultView.getComputedStyle(page.body).backgroundColor,
    pictures: [...page.querySelectorAll("svg")].map(one => Math.min(box(one).width, box(one).height)),
    cells: [...page.querySelectorAll("td, tbody th")].filter(
      one => one.scrollWidth > one.clientWidth + 1).map(one => one.textContent),
    frames: frames.map(one => one.clientWidth),
    lost: links.filter(one => !page.getElementById(one)),
    runs: [...page.querySelectorAll(".pair")].map(
      one => [...one.querySelectorAll("section")].map(half => [box(half).left, box(half).top])),
    title: page.querySelector(".pair").parentElement.querySelector("summary").textContent,
  }
  document.body.dataset.found = JSON.stringify(found)
})
</script>
"""


def measure(page, tmp_path, width, scheme):
    """Open a page in a frame of a width, and return what its own script measures."""
    frame = f'<iframe style="border:0;width:{width}px;height:900px" srcdoc="{html.escape(page)}"></iframe>'  # fmt: skip
    path = tmp_path / "frame.html"
    path.write_text(f"<!doctype html><meta charset=utf-8><body>{frame}{MEASURE}", encoding="utf-8")
    words = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
             f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,1000",
             f"--blink-settings=preferredColorScheme={scheme}", "--dump-dom", path.as_uri()]  # fmt: skip
    shown = subprocess.run(words, capture_output=True, text=True, timeout=100, check=True).stdout
    (found,) = re.findall(r'data-found="([^"]*)"', shown)
    return json.loads(html.unescape(found))


@pytest.fixture
def page(evaluated):  # noqa: F811
    facts = assemble_report(with_prompt(evaluated[1]), evaluated[0])
    return render_page(facts)


@pytest.mark.parametrize(("scheme", "paper"), [(0, "rgb(20, 25, 29)"), (1, "rgb(251, 250, 247)")])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_fits_its_window_in_both_schemes(page, tmp_path, width, scheme, paper):
    found = measure(page, tmp_path, width, scheme)
    assert found["paper"] == paper
    assert found["wider"] <= 0
    assert found["hidden"] == []
    assert found["lost"] == []
    assert found["cells"] == [], "no cell is wider than its column"
    assert len(found["pictures"]) == 3
    assert min(found["pictures"]) > 60
    assert all(one <= width for one in found["frames"])
    assert found["title"].split(": ")[1].startswith(("get_weather", NAMED))
    (before, after), *_ = found["runs"]
    beside = before[1] == after[1] and before[0] < after[0]
    assert beside == (width == 1280), "both runs stand side by side where there is room"
