"""How the documentation is built: `make docs`."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("sdk", "exporters", "trainer")]

project = "burnish"
author = "the burnish maintainers"
copyright = "2026, the burnish maintainers"  # noqa: A001
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {"description": "Agents polished by their own runs", "fixed_sidebar": True}
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
autodoc_typehints = "none"
# Types of other packages are not documented here.
nitpick_ignore_regex = [("py:.*", r".*")]
