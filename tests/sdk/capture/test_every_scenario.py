"""Every scenario passes the same checks: recorded completely, unchanged, and equal behind OTLP."""

import pytest
from scenarios import SCENARIOS
from scenarios.playing import check, comparable, perform
from shipped_copies import comparable as by_id

import burnish
from burnish import settings
from burnish.journal.writer import close_shared
from burnish.telemetry.delivery import shipper
from burnish.telemetry.intake.receiver import OtlpServer
from burnish.workspace import Workspace

scenes = pytest.mark.parametrize("name", sorted(SCENARIOS))


@scenes
def test_each_call_is_recorded_once_in_its_place(name, journal):
    scene = SCENARIOS[name]

    play, _ = perform(scene, wrapped=True)

    check(scene, play, journal)


@scenes
def test_the_agent_gives_what_it_gives_without_us(name, journal):
    scene = SCENARIOS[name]

    bare, given = perform(scene, wrapped=False)
    assert journal.events == []
    recorded, same = perform(scene, wrapped=True)

    assert comparable(same) == comparable(given)
    assert len(recorded.asked) == len(bare.asked)
    assert sorted(recorded.ran) == sorted(bare.ran)


@pytest.fixture
def central(tmp_path):
    """A workspace behind a real OTLP receiver, and the process set to ship there."""
    server = OtlpServer(tmp_path / "central", http_port=0, grpc_port=None)
    server.start()
    settings.configure(home=tmp_path / "own", otlp_endpoint=f"http://127.0.0.1:{server.http_port}")
    yield tmp_path / "central"
    settings.configure(otlp_endpoint=None)
    shipper.ensure_started()
    settings.reset()
    close_shared()
    server.stop()


@scenes
def test_what_a_receiver_gets_is_the_same_trajectory(name, central, tmp_path):
    scene = SCENARIOS[name]

    perform(scene, wrapped=True)

    assert burnish.flush(30) == 0
    own = list(Workspace(tmp_path / "own").trajectories())
    behind = list(Workspace(central).trajectories())
    assert by_id(behind) == by_id(own)
    assert len(own) == scene.trajectories
    assert {t.status for t in own} == {scene.statuses[-1]}
    assert [t.losses for t in own] == [{}] * len(own)
    calls = sum(len(t.model_calls) + len(t.tool_runs) for t in own)
    assert calls == sum(scene.calls.values())
