"""Only the process that holds the embedded engine reconciles a canary of it."""

from __future__ import annotations

from burnish.adapters.pointer import Target
from burnish.canary.reconciler import Reconciler
from burnish.serving.embedded.engine import Engine


def test_an_engine_of_this_process_can_be_reached_once_it_is_there(tmp_path):
    Engine.close_shared()
    reconciler = Reconciler(tmp_path, "support")
    target = Target(backend="embedded", base_model="starter", adapter="support@0a1b2c3d4e5f")

    assert not reconciler._reachable(target)
    Engine.shared("starter")
    try:
        assert reconciler._reachable(target)
    finally:
        Engine.close_shared()
