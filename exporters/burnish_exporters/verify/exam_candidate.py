"""The code under test, in a sandbox of its own: answers calls from afar until nobody asks any more.

Knows: where the code lies. Does not know: the tests; they are in another sandbox.
"""

from __future__ import annotations

import sys

from burnish_exporters.verify.exam_wire import Peer


def main() -> None:
    """Serve the code that lies in the folder."""
    sys.path.insert(0, "/box")
    Peer(3, 4, guarded=False).serve()


if __name__ == "__main__":
    main()
