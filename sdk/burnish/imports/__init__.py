"""Import objects named by a string, optional packages, and modules on first use.

import_path.py    "module:function" of burnish.toml
extras.py         optional packages, with the extra to install
lazy_exports.py   names of a package whose modules load at their first use
"""
