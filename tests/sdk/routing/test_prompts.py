"""The pointer names a prompt beside the adapter; both answer, are promoted, rolled back and recorded together."""

import msgspec
import pytest
from langchain.agents import create_agent
from langchain_core.messages import SystemMessage
from langgraph.graph import START, MessagesState, StateGraph

import burnish
from burnish import settings
from burnish.adapters import Registry, SqlControlStore, Target
from burnish.adapters.pointer import PointerReader, decode_pointer
from burnish.adapters.prompt_store import PromptStore
from burnish.canary import Rollout
from burnish.capture import faults
from burnish.errors import CaptureError, RegistryError, WorkspaceError
from burnish.langchain import RoutingMiddleware
from burnish.langchain.given_prompts import give_prompts
from burnish.project import CanaryConfig
from burnish.records import Evaluation
from burnish.testing.chat_model import ScriptedChatModel

DEFAULT, BETTER = "You are a clerk.", "You are a clerk. Check the stock first."
CONFIG = CanaryConfig(steps=[0.5, 1.0], min_threads=5)


@pytest.fixture
def home(tmp_path):
    settings.reset()
    burnish.configure(home=tmp_path)
    yield tmp_path
    burnish.flush()
    settings.reset()


@pytest.fixture
def better(home):
    return PromptStore(home).put("support", {"system": BETTER}, defaults={"system": DEFAULT}).id


@pytest.fixture
def rollout(home, better):
    """A canary of the better prompt at half of the threads, with the agent's own model."""
    register(home, None, better)
    rollout = Rollout(home, "support")
    rollout.start(Target(backend="own", prompt=better), CONFIG)
    return rollout


def register(home, adapter, prompt, decision="promote"):
    report = home / "evaluation.json"
    found = Evaluation(
        agent="support", base_model="m", before=None, after=adapter, after_prompt=prompt, pools={},
        trajectories=0,
    )  # fmt: skip
    report.write_bytes(msgspec.json.encode(found))
    return Registry(home).register("support", adapter, report, decision, prompt=prompt)


def echo_system(messages):
    """Answer with the system prompt that arrived."""
    return messages[0].text


def make_model():
    return ScriptedChatModel(script=[echo_system], repeat=True)


def make_graph():
    """A graph that asks for its prompt in its node."""
    model = burnish.route(make_model(), agent="support")

    def answer(state):
        system = SystemMessage(burnish.prompt("support", DEFAULT))
        return {"messages": [model.invoke([system, *state["messages"]])]}

    built = StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer")
    return burnish.wrap(built.compile(), agent="support")


def make_middleware_agent(**options):
    middleware = [RoutingMiddleware("support", **options)]
    agent = create_agent(make_model(), [], system_prompt=DEFAULT, middleware=middleware)
    return burnish.wrap(agent, agent="support")


def ask(graph, thread):
    found = graph.invoke({"messages": [("user", "hi")]}, {"configurable": {"thread_id": thread}})
    return found["messages"][-1]


def ask_many(graph, number=40):
    """Return the prompts that answered, by arm."""
    found = {}
    for place in range(number):
        message = ask(graph, f"t-{place}")
        arm = message.response_metadata["burnish"]["arm"]
        found.setdefault(arm, set()).add(message.text)
    return found


@pytest.mark.parametrize("make", [make_graph, make_middleware_agent])
def test_the_arm_of_a_thread_decides_its_prompt_until_promotion_and_rollback(make, rollout):
    graph = make()
    assert ask_many(graph) == {"stable": {DEFAULT}, "canary": {BETTER}}

    rollout.promote(force=True)
    assert ask_many(graph)["stable"] == {BETTER}

    rollout.rollback("by hand")
    assert ask_many(graph) == {"stable": {DEFAULT}}


def test_calls_and_runs_are_recorded_with_the_prompt_that_answered(rollout, home, better):
    ask_many(make_graph(), 12)
    burnish.flush()

    policies = [
        (call.policy.arm, call.policy.prompt)
        for run in burnish.Workspace(home).trajectories()
        for call in run.model_calls
    ]
    assert set(policies) == {("stable", None), ("canary", better)}


def test_lineage_follows_a_prompt_from_its_runs_to_the_agent_that_it_serves(rollout, home, better):
    ask_many(make_graph(), 12)
    burnish.flush()
    workspace = burnish.Workspace(home)

    runs = {tuple(p.prompt for p in run.policies): run for run in workspace.trajectories()}
    parents = {
        prompts: [(one["kind"], one["id"]) for one in workspace.lineage(run.id)["parents"]]
        for prompts, run in runs.items()
    }
    assert parents == {(None,): [], (better,): [("prompt", better)]}

    (served,) = workspace.lineage("support")["parents"]
    assert (served["kind"], served["id"], served["as"]) == ("prompt", better, "canary")

    found = workspace.lineage(better)
    assert (found["agent"], found["forced"], found["parents"]) == ("support", False, [])
    assert found["children"] == [
        {"kind": "deployment", "id": "support", "as": "canary", "children": []}
    ]


def test_lineage_of_a_prompt_names_its_decisions_and_an_altered_file(home, better):
    store = SqlControlStore(home)
    decided = {"adapter": None, "prompt": better, "decision": "promote", "facts": {}}
    with store.transaction() as connection:
        store.record_action(connection, "support", "decided", decided)
    (told,) = burnish.Workspace(home).lineage(better)["gate"]
    assert (told["agent"], told["decision"]) == ("support", "promote")

    path = home / "prompts" / better / "prompt.json"
    path.write_text(path.read_text().replace("stock", "shelf"))
    with pytest.raises(WorkspaceError):
        burnish.Workspace(home).lineage(better)
    other = PromptStore(home).put("support", {"system": "Be brief."})
    assert burnish.Workspace(home).lineage(other.id)["unread"] == [str(path)]


def test_a_nested_agent_is_recorded_with_its_own_prompt(home, better):
    with give_prompts({"support": PromptStore(home).get(better)}):
        ask(make_graph(), "t-1")
    ask(make_graph(), "t-2")
    burnish.flush()

    runs = sorted(burnish.Workspace(home).trajectories(), key=lambda run: run.thread_id)
    assert [run.model_calls[0].policy.prompt for run in runs] == [better, None]


def test_prompt_and_model_of_a_call_come_from_one_reading_of_the_pointer(rollout, better):
    """A rollback between the two reaches the next call; this one keeps the pair that it began with."""
    model = burnish.route(make_model(), agent="support")
    seen = []

    def answer(state):
        text = burnish.prompt("support", DEFAULT)
        if not seen:
            rollout.rollback("between prompt and call")
        message = model.invoke([SystemMessage(text), *state["messages"]])
        seen.append((text, message.response_metadata["burnish"]["arm"]))
        return {"messages": [message]}

    built = StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer")
    graph = burnish.wrap(built.compile(), agent="support")
    thread = next(f"t-{n}" for n in range(99) if is_canary(rollout, f"t-{n}"))

    ask(graph, thread)
    ask(graph, thread)

    assert seen == [(BETTER, "canary"), (DEFAULT, "stable")]


def is_canary(rollout, thread):
    from burnish.canary.assignment import assign

    document = rollout.document()
    return assign(thread, document.salt, document.share)


def test_middleware_keeps_what_others_add_around_the_prompt(home, better):
    agent = create_agent(
        make_model(), [], system_prompt=f"{DEFAULT} Today is Monday.",
        middleware=[RoutingMiddleware("support")],
    )  # fmt: skip
    point_to(home, {"backend": "own", "prompt": better})
    assert ask(agent, "t").text == f"{BETTER} Today is Monday."


def test_middleware_can_leave_the_system_prompt_alone(home, better):
    point_to(home, {"backend": "own", "prompt": better})
    assert ask(make_middleware_agent(prompt=None), "t").text == DEFAULT


def point_to(home, target):
    SqlControlStore(home).write("support", {"stable": target}, expected_version=0)


def test_a_version_gives_only_the_prompts_that_it_holds(home):
    made = PromptStore(home).put("support", {"planner": "Plan first."})
    point_to(home, {"backend": "own", "prompt": made.id})
    assert burnish.prompt("support", "own", name="planner") == "Plan first."
    assert burnish.prompt("support", "own") == "own"
    assert burnish.prompt("other", "own") == "own"


def test_a_version_that_cannot_be_read_leaves_the_own_prompt_and_is_counted(home):
    point_to(home, {"backend": "own", "prompt": "support-prompt@" + "0" * 12})
    faults.forget()
    assert ask(make_graph(), "t").text == DEFAULT
    assert any("support-prompt@000000000000" in kind for kind in faults.counts())
    burnish.flush()
    faults.forget()
    (run,) = burnish.Workspace(home).trajectories()
    assert run.model_calls[0].policy.prompt is None


def test_a_default_that_is_no_text_is_refused(home):
    with pytest.raises(CaptureError, match="NoneType"):
        burnish.prompt("support", None)


def test_pointers_of_earlier_versions_name_no_prompt(home):
    target = {"backend": "embedded", "base_model": "m", "adapter": "support@" + "a" * 12}
    pointer = decode_pointer({"stable": target, "share": 0.0}, 3)
    assert (pointer.stable.adapter, pointer.stable.prompt) == (target["adapter"], None)
    point_to(home, target)
    assert PointerReader(home, "support").read().stable == pointer.stable


def test_an_adapter_stays_loaded_while_another_prompt_takes_over(home, better):
    """Its backend serves the same weights for both versions."""
    from burnish.canary import document as moves

    with_own = Target(base_model="m", adapter="support@" + "a" * 12)
    with_better = msgspec.structs.replace(with_own, prompt=better)
    before = moves.RolloutDocument(stable=with_own)
    staged = moves.stage_candidate(before, with_better, CONFIG, forced=False)
    promoted = moves.promote_candidate(staged, "by hand")

    assert moves.list_targets(promoted) == [with_own]
    assert moves.retire_targets(before, promoted).retired == []


def test_adapter_and_prompt_are_promoted_and_rolled_back_together():
    from burnish.canary import document as moves

    def pair(letter):
        sha12 = letter * 12
        return Target(base_model="m", adapter=f"support@{sha12}", prompt=f"support-prompt@{sha12}")

    before = moves.RolloutDocument(stable=pair("a"))
    staged = moves.stage_candidate(before, pair("b"), CONFIG, forced=False)
    running = moves.take_step(moves.mark_loaded(staged), 0, "first step")
    assert (running.stable, running.canary) == (pair("a"), pair("b"))
    assert moves.roll_back(running, "worse").stable == pair("a")
    promoted = moves.promote_candidate(running, "not worse")
    assert (promoted.stable, promoted.previous) == (pair("b"), pair("a"))
    assert moves.roll_back(promoted, "worse later").stable == pair("a")


def test_a_prompt_without_a_report_may_not_serve(home, better):
    with pytest.raises(RegistryError, match=r"not a candidate.*burnish eval support --prompt"):
        Rollout(home, "support").start(Target(backend="own", prompt=better), CONFIG)
    register(home, None, better, "reject")
    with pytest.raises(RegistryError, match="was 'reject'"):
        Rollout(home, "support").start(Target(backend="own", prompt=better), CONFIG)


def test_a_report_on_another_prompt_is_refused(home, better):
    other = PromptStore(home).put("support", {"system": "other"}).id
    register(home, None, better)
    with pytest.raises(RegistryError, match="is a report on"):
        Registry(home).register("support", None, home / "evaluation.json", "promote", prompt=other)
    assert [one.prompt for one in Registry(home).list("support")] == [better]


def test_the_status_names_the_prompts(rollout, better):
    assert rollout.status()["candidate_prompt"] == better
    assert f"the agent's own model with {better}" in Target(backend="own", prompt=better).label
