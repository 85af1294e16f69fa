"""`burnish.testing` exports its names and loads each only when it is used."""

import subprocess
import sys

import burnish.testing


def test_every_name_that_is_offered_is_there():
    assert {"BackendCase", "CHECKS", "run_all"} <= set(burnish.testing.__all__)
    for name in burnish.testing.__all__:
        assert getattr(burnish.testing, name) is not None


def test_contract_kits_and_chat_models_are_imported_when_asked_for():
    script = (
        "import sys, burnish.testing\n"
        "before = 'burnish.testing.backend_kit' in sys.modules\n"
        "burnish.testing.BackendCase\n"
        "print(before, 'burnish.testing.backend_kit' in sys.modules)"
    )
    command = [sys.executable, "-c", script]

    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert said == "False True\n"
