"""Settings of Sphinx for `make docs`."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("sdk", "exporters", "trainer")]

project = "burnish"
author = "burnish contributors"
copyright = "2026, burnish contributors"  # noqa: A001
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {
    "description": "Agents polished by their own runs",
    "fixed_sidebar": True,
    "page_width": "1180px",  # a line of code of 100 columns is not cut
    "body_max_width": "none",
}
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_typehints = "none"
# Types of other packages are not documented here.
nitpick_ignore_regex = [("py:.*", r".*")]
