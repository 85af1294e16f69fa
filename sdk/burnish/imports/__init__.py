"""Import what is named by a string, what may not be installed, and what is needed late.

import_path.py    "module:function" of burnish.toml
extras.py         optional packages, with the extra to install
lazy_exports.py   names of a package whose modules load at their first use
"""
