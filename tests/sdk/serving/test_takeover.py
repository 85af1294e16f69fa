"""Servers that lose adapters in the middle of a rollout: no call is lost that another version could answer."""

from __future__ import annotations

import asyncio
import shutil

import pytest
from langchain_openai import ChatOpenAI
from started_rollouts import start_rollout

import burnish
from burnish.adapters import AdapterStore, Target
from burnish.canary import reconciler
from burnish.canary.outcomes import ThreadReader
from burnish.project import CanaryConfig
from burnish.records import AdapterManifest
from burnish.serving import base_sha256, open_backend
from burnish.testing import VllmServer

CONFIG = CanaryConfig(decides="user", maturity_s=0.0, steps=[0.9999, 1.0])


@pytest.fixture
def server(base, engine):
    with VllmServer(base, engine=engine) as server:
        yield server


@pytest.fixture
def published(home, base, adapters):
    """The ids of three published versions."""
    store, ids = AdapterStore(home), []
    for number, folder in enumerate(adapters.values(), 1):
        manifest = AdapterManifest(
            id="",
            name="support",
            sha256="",
            base_model=str(base),
            base_sha256=base_sha256(base),
            rank=4 * number,
            alpha=8 * number,
            targets=["q_proj"],
            created_at="2026-01-01",
            dataset="",
            parents=[],
            plan={},
            metrics={},
        )
        ids.append(store.publish(folder, manifest).id)
    return ids


def start(home, target):
    """Start a canary for every thread."""
    return start_rollout(home, target, CONFIG)


def on(server, adapter):
    return Target(backend=server.url, base_model="base", adapter=adapter)


def routed(server):
    own = ChatOpenAI(
        base_url=f"{server.url}/v1", api_key="x", model="base", max_retries=0, max_tokens=2
    )
    return burnish.route(own, agent="support")


def ask(model, thread):
    said = model.invoke("hi", {"configurable": {"thread_id": thread}}).response_metadata
    return said["model_name"], said["burnish"]["arm"]


def test_a_version_that_a_restarted_server_forgot_is_loaded_again(server, home, published):
    target = on(server, published[0])
    open_backend(server.url).load(published[0], AdapterStore(home).path(published[0]))
    rollout, model = start(home, target), routed(server)
    assert ask(model, "t1") == (published[0], "canary")
    server.restart()
    assert ask(model, "t2") == (published[0], "canary")
    assert rollout.status()["restored"] == 1

    server.restart()
    config = {"configurable": {"thread_id": "t3"}}
    answer = asyncio.run(model.ainvoke("hi", config)).response_metadata
    assert answer["model_name"] == published[0]
    server.restart()
    pieces = list(model.stream("hi", config))
    assert pieces[0].response_metadata["burnish"]["adapter"] == published[0]


def test_the_stable_version_answers_for_one_that_cannot_be_loaded_again(
    server, home, published, caplog
):
    stable, canary = (on(server, name) for name in published[:2])
    backend = open_backend(server.url)
    for name in published[:2]:
        backend.load(name, AdapterStore(home).path(name))
    rollout = start(home, stable)
    rollout.promote(force=True)
    start(home, canary)
    model = routed(server)
    graph = burnish.wrap(model, agent="support")
    server.restart()
    shutil.rmtree(AdapterStore(home).path(published[1]))

    for number in range(4):
        config = {"configurable": {"thread_id": f"lost-{number}"}}
        said = graph.invoke("hi", config).response_metadata
        assert said["model_name"] == published[0]
        answered = said["burnish"]
        assert (answered["adapter"], answered["arm"]) == (published[0], "takeover")

    status = rollout.status()
    assert (status["taken_over"], status["not_restored"], status["restored"]) == (1, 1, 1)
    assert f"{published[1]} of support: taken_over" in caplog.text
    burnish.flush()
    assert len(burnish.Workspace().entries()) == 4
    reader = ThreadReader(home, "support", CONFIG)
    assert reader.read_threads([f"lost-{n}" for n in range(4)], rollout.document()) == []


def test_the_base_answers_for_a_stable_version_that_is_gone(server, home, published):
    stable = on(server, published[0])
    open_backend(server.url).load(published[0], AdapterStore(home).path(published[0]))
    start(home, stable).promote(force=True)
    server.restart()
    shutil.rmtree(AdapterStore(home).path(published[0]))
    model = routed(server)
    answered = ask(model, "t")
    while answered == ("base", "stable"):  # the pointer as it was before the promotion
        answered = ask(model, "t")
    assert answered == ("base", "takeover")


@pytest.mark.parametrize("status", [0, 401, 429, 503])
def test_the_own_model_answers_while_the_server_of_the_canary_does_not(
    server, base, home, published, status
):
    with VllmServer(base) as second:
        open_backend(second.url).load(published[0], AdapterStore(home).path(published[0]))
        start(home, on(second, published[0]))
        second.fail(status, times=1000, headers={"retry-after": "0"})
        assert ask(routed(server), "t") == ("base", "takeover")


def test_an_error_of_the_adapter_itself_is_counted_for_it(server, home, published):
    open_backend(server.url).load(published[0], AdapterStore(home).path(published[0]))
    start(home, on(server, published[0]))
    server.fail(500, model=published[0])
    with pytest.raises(Exception, match="asked for 500") as raised:
        ask(routed(server), "t")
    answered = raised.value.burnish_answered
    assert (answered["adapter"], answered["arm"]) == (published[0], "canary")


DEAD = "EngineCore encountered an issue. See stack trace (above) for the root cause."


def test_stable_answers_for_a_server_whose_engine_died(server, base, home, published):
    with VllmServer(base) as second:
        open_backend(second.url).load(published[0], AdapterStore(home).path(published[0]))
        start(home, on(second, published[0]))
        second.fail(500, times=1000, message=DEAD)
        assert ask(routed(server), "t") == ("base", "takeover")
        config = {"configurable": {"thread_id": "t"}}
        first = next(iter(routed(server).stream("hi", config)))
        assert first.response_metadata["burnish"]["arm"] == "takeover"


def test_a_stream_that_a_dying_server_cuts_off_is_no_evidence_against_the_canary(
    server, home, published
):
    open_backend(server.url).load(published[0], AdapterStore(home).path(published[0]))
    start(home, on(server, published[0]))
    model = routed(server)
    config = {"configurable": {"thread_id": "t"}}
    for message, arm in ((DEAD, "takeover"), ("of the adapter", "canary")):
        server.fail(500, after=1, message=message)
        with pytest.raises(Exception, match=message[:10]) as raised:
            list(model.stream("hi", config))
        assert raised.value.burnish_answered["arm"] == arm


def test_a_failure_that_nobody_could_answer_is_no_evidence_against_the_canary(
    server, home, published
):
    open_backend(server.url).load(published[0], AdapterStore(home).path(published[0]))
    start(home, on(server, published[0]))
    server.fail(503, times=1000)
    with pytest.raises(Exception, match="asked for 503") as raised:
        ask(routed(server), "t")
    assert raised.value.burnish_answered["arm"] == "takeover"


def test_retired_versions_are_unloaded_once_every_router_knows(
    server, home, published, monkeypatch
):
    backend, store = open_backend(server.url), AdapterStore(home)
    for name in published:
        backend.load(name, store.path(name))
    first, second, third = (on(server, name) for name in published)
    rollout = start(home, first)
    rollout.promote(force=True)
    start(home, second)
    rollout.promote(force=True)
    start(home, third)
    assert [one.target.adapter for one in rollout.document().retired] == [published[0]]
    assert rollout.in_service() == [published[1], published[2]]
    assert rollout.reconcile() == []
    assert backend.list() == sorted(published)

    monkeypatch.setattr(reconciler, "GRACE_S", 0.0)
    assert [done["action"] for done in rollout.reconcile()] == ["unloaded"]
    assert backend.list() == sorted(published[1:])
    assert rollout.document().retired == []
    rollout.rollback("worse")
    rollout.reconcile()
    assert backend.list() == [published[1]]
    assert rollout.status()["unloaded"] >= 1


def test_what_a_server_lost_is_loaded_again_when_the_rollout_is_observed(server, home, published):
    rollout = start(home, on(server, published[0]))
    found = rollout.observe()
    assert [done["action"] for done in found["backends"]] == ["restored"]
    assert open_backend(server.url).list() == [published[0]]
    assert "backends" not in rollout.observe()


def test_a_version_that_is_not_wished_is_never_loaded(server, home, published):
    start(home, on(server, published[0]))
    found = reconciler.Reconciler(home, "support")
    assert not found.restore(on(server, published[1]))
    assert open_backend(server.url).list() == []


def test_a_call_for_another_model_is_answered_by_that_one_unrouted(server, home, published):
    backend, store = open_backend(server.url), AdapterStore(home)
    for name in published[:2]:
        backend.load(name, store.path(name))
    start(home, on(server, published[0]))
    config = {"configurable": {"thread_id": "t"}}
    said = routed(server).bind(model=published[1]).invoke("hi", config).response_metadata
    assert said["model_name"] == published[1]
    assert "burnish" not in said
    said = routed(server).bind(model="base").invoke("hi", config).response_metadata
    assert said["model_name"] == published[0]
