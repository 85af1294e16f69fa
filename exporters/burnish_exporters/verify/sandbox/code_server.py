"""Serve the code under test in its own sandbox: answer remote calls until the tests' sandbox disconnects.

The tests run in another sandbox (test_runner.py).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection

from burnish_exporters.verify.sandbox.rpc import Peer

_BOX = "/box"


def main(at_start: Collection[str]) -> None:
    """Serve the code in the folder.

    Args:
        at_start: Modules that Python itself has loaded. The code's own file replaces any other
            module of its name, as it would in a program of its own.
    """
    own = {name.removesuffix(".py") for name in os.listdir(_BOX)}  # noqa: PTH208 - pathlib may be the code's
    for name in [found for found in sys.modules if found.partition(".")[0] in own]:
        if name not in at_start:
            del sys.modules[name]
    sys.path.insert(0, _BOX)
    Peer(3, 4, guarded=False).serve()
