"""A real vLLM is killed in the middle of a canary: no call is lost that another version could answer."""

from __future__ import annotations

import collections
import logging
import shutil
import threading
import time

import openai
import pytest
from started_rollouts import start_rollout
from vllm_process import TOKEN

import burnish
from burnish.adapters import AdapterStore, Target
from burnish.canary.outcomes import ThreadReader
from burnish.project import CanaryConfig
from burnish.serving import EmbeddedChat, open_backend
from burnish.serving.remote.chat_model import make_remote_chat
from burnish.serving.remote.endpoint import engine_died

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

ASKERS = 3


def start(home, target, share=0.5):
    """Start a canary for a share of the threads."""
    config = CanaryConfig(decides="user", maturity_s=0.0, steps=[share, 1.0])
    return start_rollout(home, target, config)


def load(server, home, *versions):
    for version in versions:
        open_backend(server.url).load(version, AdapterStore(home).path(version))


def on(server, adapter):
    return Target(backend=server.url, base_model="base", adapter=adapter)


class Traffic:
    """Users who ask without a pause, each time in a new thread; counts the answering versions, by phase."""

    def __init__(self, model):
        self._model = model
        self._graph = burnish.wrap(model, agent="support")
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._asked = 0
        self.phase = "before"
        self.answered = collections.Counter()
        self.failed = collections.Counter()
        self._askers = [threading.Thread(target=self._ask_on) for _ in range(ASKERS)]

    def __enter__(self):
        for asker in self._askers:
            asker.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for asker in self._askers:
            asker.join()

    def until(self, wanted, *, longest=300.0):
        """Wait until the counts are as wanted."""
        end = time.monotonic() + longest
        while not wanted(self.answered):
            assert time.monotonic() < end, self.told()
            time.sleep(0.1)

    def told(self):
        """Return the counts in one line."""
        rows = [f"{phase}/{arm} {n}" for (phase, arm), n in sorted(self.answered.items())]
        rows += [f"FAILED {phase}: {error} {n}" for (phase, error), n in self.failed.items()]
        return ", ".join(rows)

    def _ask_on(self):
        while not self._over.is_set():
            with self._lock:
                self._asked += 1
                number = self._asked
            phase = self.phase  # that in which the call begins
            try:
                config = {"configurable": {"thread_id": f"user-{number}"}}
                said = self._graph.invoke(f"hi {number}", config).response_metadata
            except Exception as error:  # noqa: BLE001 - whatever a user would see
                arm = getattr(error, "burnish_answered", {}).get("arm")
                self.failed[phase, f"{arm}: {type(error).__name__}: {error}"[:200]] += 1
            else:
                self.answered[phase, said["burnish"]["arm"]] += 1
            time.sleep(0.2)  # leaves the processor to the server that starts


def ask(model, thread):
    said = model.invoke("hi", {"configurable": {"thread_id": thread}}).response_metadata
    return said["model_name"], said["burnish"]["arm"]


def test_the_own_model_answers_for_a_server_that_is_killed_and_comes_back(vllm, home, versions):
    load(vllm, home, versions[0])
    rollout = start(home, on(vllm, versions[0]))
    own = EmbeddedChat("starter", max_tokens=4)
    with Traffic(burnish.route(own, agent="support")) as traffic:
        traffic.until(lambda n: n["before", "canary"] >= 10 and n["before", "stable"] >= 10)
        vllm.kill()
        traffic.phase = "down"
        vllm.launch()
        seconds = vllm.wait()
        traffic.phase = "after"
        traffic.until(lambda n: n["after", "canary"] >= 10 and n["after", "stable"] >= 10)
    print(f"\n{traffic.told()}; the server was away for {seconds:.0f} s")

    assert traffic.failed == {}
    assert traffic.answered["down", "takeover"] > 0
    assert traffic.answered["after", "takeover"] <= ASKERS  # those that began before it was back
    status = rollout.status()
    assert status["restored"] >= 1
    assert status["taken_over"] >= 1
    assert status["state"] == "CANARY"
    assert open_backend(vllm.url).list() == [versions[0]]


def test_both_versions_of_a_restarted_server_are_loaded_again(vllm, home, versions, caplog):
    stable, canary = versions
    load(vllm, home, stable, canary)
    rollout = start(home, on(vllm, stable))
    rollout.promote(force=True)
    config = CanaryConfig(decides="user", maturity_s=0.0, steps=[0.5, 1.0])
    start_rollout(home, on(vllm, canary), config)
    own = make_remote_chat(vllm.url, "base", max_tokens=4, retries=0)
    with Traffic(burnish.route(own, agent="support")) as traffic:
        traffic.until(lambda n: n["before", "canary"] >= 10 and n["before", "stable"] >= 10)
        vllm.kill()
        traffic.phase = "down"  # stable is on the same server: no version can answer
        vllm.launch()
        seconds = vllm.wait()
        traffic.phase = "after"
        traffic.until(lambda n: n["after", "canary"] >= 10 and n["after", "stable"] >= 10)
    print(f"\n{traffic.told()}; the server was away for {seconds:.0f} s")

    assert [key for key in traffic.failed if key[0] == "after"] == []
    # Calls that no version could answer are evidence against neither version.
    assert all(error.startswith("takeover") for _, error in traffic.failed)
    assert rollout.status()["restored"] >= 2
    assert open_backend(vllm.url).list() == sorted(versions)
    burnish.flush()
    reader = ThreadReader(home, "support", config)
    judged = reader.read_threads(reader.find_changed_threads({})[0], rollout.document())
    answered = collections.Counter(arm for phase, arm in traffic.answered.elements())
    assert collections.Counter(thread.arm for thread in judged) == {
        arm: answered[arm] for arm in ("canary", "stable")
    }
    assert not any(thread.breaches["errors"] for thread in judged)

    # The canary's files are lost too: stable answers, and that is said aloud.
    open_backend(vllm.url).unload(canary)
    shutil.rmtree(AdapterStore(home).path(canary))
    routed = burnish.route(own, agent="support")
    with caplog.at_level(logging.WARNING):
        said = [ask(routed, f"late-{number}") for number in range(20)]
    assert {name for name, _ in said} == {stable}
    assert {arm for _, arm in said} == {"stable", "takeover"}
    assert f"{canary} of support: taken_over" in caplog.text
    assert rollout.status()["taken_over"] >= 1


class LongCalls:
    """A stream and a whole answer of two thousand tokens each, and the errors that end them."""

    def __init__(self, server):
        self._client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=TOKEN, max_retries=0)
        self._begun = threading.Event()
        self.errors = []
        self._callers = [threading.Thread(target=one) for one in (self._whole, self._stream)]

    def start(self):
        """Return once tokens come."""
        for caller in self._callers:
            caller.start()
        assert self._begun.wait(120)

    def wait(self):
        """Return once both have ended."""
        for caller in self._callers:
            caller.join(120)

    def _asked(self, **more):
        return self._client.chat.completions.create(
            model="base",
            messages=[{"role": "user", "content": "hi"}],
            max_tokens=2000,
            extra_body={"ignore_eos": True},
            **more,
        )

    def _whole(self):
        try:
            self._asked()
        except openai.APIError as error:
            self.errors.append(error)

    def _stream(self):
        try:
            for number, _ in enumerate(self._asked(stream=True)):
                if number == 3:
                    self._begun.set()
        except openai.APIError as error:
            self.errors.append(error)


def test_an_engine_that_dies_alone_loses_no_call(vllm, home, versions):
    load(vllm, home, versions[0])
    start(home, on(vllm, versions[0]))
    own, calls = EmbeddedChat("starter", max_tokens=4), LongCalls(vllm)
    with Traffic(burnish.route(own, agent="support")) as traffic:
        traffic.until(lambda n: n["before", "canary"] >= 5 and n["before", "stable"] >= 5)
        calls.start()
        traffic.phase = "dying"
        vllm.kill_engine()
        calls.wait()
        traffic.until(lambda n: n["dying", "takeover"] >= 10, longest=120)
    vllm.kill()
    vllm.start()
    print(f"\n{traffic.told()}")
    assert traffic.failed == {}
    assert [engine_died(error) for error in calls.errors] == [True, True]
