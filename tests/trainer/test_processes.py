"""Runs that several processes share: the numbers of one process, one writer, the same plan everywhere."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from burnish.errors import TrainingError
from burnish_trainer import Recipe
from burnish_trainer.run.processes import join_processes
from burnish_trainer.tree.planner import count_distinct, share_rows

TENSORS = "adapter_model.safetensors"

CHILD = """
import json, os, signal, sys
from pathlib import Path
from types import SimpleNamespace

import burnish_trainer.run.checkpoints as checkpoints
import burnish_trainer.run.training as training
from burnish import settings
from burnish_trainer import Recipe, train

make_trainer = training._make_trainer

def make_double(job, **arguments):
    in_double(job.model)
    arguments["args"].adam_epsilon = 1e-3  # Adam's own, 1e-8, magnifies the rounding of gradients near 0
    return make_trainer(job, **arguments)

def seal_and_die(staged, final, seal=checkpoints.seal_checkpoint):
    seal(staged, final)
    if len(list(final.parent.glob("checkpoint-*"))) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

if os.environ.get("KILLED") == "yes":
    checkpoints.seal_checkpoint = seal_and_die

home, base, rows, jobs, helpers = sys.argv[1:]
sys.path.insert(0, helpers)
from double_precision import in_double
settings.configure(home=home)
sides = json.loads(Path(rows).read_text())
dataset = SimpleNamespace(id="shop@000000000000", rows=lambda split="train": sides.get(split, []))
if os.environ.get("CHANGED", "none") == os.environ.get("RANK"):
    sides["train"].pop()
for name, job in json.loads(jobs).items():
    parallel = job.pop("parallel")
    training._make_trainer = make_double if job.pop("double") else make_trainer
    recipe = Recipe(name=name, rank=4, epochs=2, batch_size=3, warmup_steps=1, **job)
    version = train(dataset, base_model=base, recipe=recipe, parallel=parallel)
    found = [name, version.id, str(version.path), str(version.run)]
    Path(home, f"{name}-{os.environ.get('RANK', 'alone')}.json").write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def two_sided(made, tmp_path_factory):
    """Seven tasks, each with a success and a failure: with three rows a step, the last step has one row; four held out."""
    rng = random.Random(0)
    sides = {"train": [], "train-contrast": [], "heldout": [], "heldout-contrast": []}
    for number in range(11):
        order, total = rng.randint(1000, 9999), rng.randint(1000, 4999)
        pool = "train" if number < 7 else "heldout"
        for split, label, answer in (
            (pool, "success", f"Done: {total}"),
            (f"{pool}-contrast", "fail", "Done: 77"),
        ):
            messages = made.conversation(order, total)
            messages[0]["content"] = "You are the shop agent. total order status open. " * 2
            messages[-1]["content"] = answer
            row = made.row(messages, row_id=f"{number}-{label}", weight=1.0 + number % 2)
            sides[split].append({**row, "task_id": f"t{number}", "verdict": {"label": label}})
    path = tmp_path_factory.mktemp("rows") / "rows.json"
    path.write_text(json.dumps(sides))
    return path


OBJECTIVES = {
    "rows": {"prefix_sharing": "off"},
    "cut": {"prefix_sharing": "blocks", "token_budget": 150},
    "kto": {"objective": "kto"},
    "dpo": {"objective": "dpo"},
}
# In double precision at fifty times the usual rate, where only an error in the arithmetic could show.
EXACT = {
    f"{name}-double": {**job, "double": True, "learning_rate": 1e-2, "parallel": "ddp"}
    for name, job in OBJECTIVES.items()
}
USUAL = {name: {**job, "double": False, "parallel": "ddp"} for name, job in OBJECTIVES.items()}
DIVIDED = {
    "cut-fsdp": {**USUAL["cut"], "parallel": "fsdp2"},
    "kto-double-fsdp": {**EXACT["kto-double"], "parallel": "fsdp2"},
}


TORCHRUN = "-m torch.distributed.run --standalone --nproc-per-node"
ACCELERATE = "-m accelerate.commands.launch --multi_gpu --num_machines 1 --mixed_precision no --dynamo_backend no --num_processes"


def launch(arguments, processes, launcher=TORCHRUN, **environ):
    launcher = [sys.executable, *([*launcher.split(), str(processes)] if processes else [])]
    return subprocess.run(
        [*launcher, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", "BURNISH_QUIET": "", **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def run_jobs(tmp_path, base, rows, jobs, processes=0, **environ):
    """Train in processes of a launcher, or in one without it; return for each job the facts of each process."""
    script = tmp_path / "train_jobs.py"
    script.write_text(CHILD)
    home = tmp_path / f"home{processes}"
    home.mkdir(exist_ok=True)
    arguments = [
        str(script),
        str(home),
        str(base),
        str(rows),
        json.dumps(jobs),
        str(Path(__file__).parent),
    ]
    done = launch(arguments, processes, **environ)
    found = {}
    for path in sorted(home.glob("*-*.json")):
        name, *facts = json.loads(path.read_text())
        found.setdefault(name, []).append(facts)
    return done, found


def lines_of(run):
    text = (run / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_give_the_losses_and_the_adapter_of_one(tmp_path, base, two_sided):
    jobs = {**USUAL, **EXACT}
    done, found = run_jobs(tmp_path, base, two_sided, {**jobs, **DIVIDED}, 2)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "share each step (fsdp2)" in done.stderr
    single, wanted = run_jobs(tmp_path, base, two_sided, jobs)
    assert single.returncode == 0, single.stderr[-3000:]
    assert set(found) == {*jobs, *DIVIDED}
    for name, (here, there) in found.items():
        assert here == there, name  # both processes know the version, and one of them made it
        (other,) = wanted[name.removesuffix("-fsdp")]
        assert compare_runs(here, other) < (1e-12 if "double" in name else 1e-6), name


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_processes_of_accelerate_go_on_to_the_bytes_of_torchrun(tmp_path, base, two_sided):
    """The first process is killed after its second checkpoint; the launcher ends the other one."""
    jobs = {"cut": USUAL["cut"]}
    started, killed = tmp_path / "torchrun", tmp_path / "accelerate"
    for folder in (started, killed):
        folder.mkdir()
    whole, wanted = run_jobs(started, base, two_sided, jobs, 2)
    assert whole.returncode == 0, whole.stderr[-3000:]
    first, none = run_jobs(killed, base, two_sided, jobs, 2, launcher=ACCELERATE, KILLED="yes")
    assert (first.returncode != 0, none) == (True, {}), first.stderr[-3000:]
    (run,) = (killed / "home2" / "runs").iterdir()
    assert len(list((run / "checkpoints").glob("checkpoint-*"))) == 2
    second, found = run_jobs(killed, base, two_sided, jobs, 2, launcher=ACCELERATE)
    assert second.returncode == 0, second.stderr[-3000:]
    versions = [facts[0] for facts in (*found["cut"], *wanted["cut"])]
    assert len(versions) == 4
    assert len(set(versions)) == 1, "the name of a version is the hash of its bytes"
    assert len(lines_of(run)) == len(lines_of(Path(wanted["cut"][0][2])))


def compare_runs(shared, single):
    """Compare plans and figures of all steps; return the relative difference of the weights."""
    (_, path, run), (_, other_path, other_run) = shared, single
    plans = [json.loads(Path(folder, "plan.json").read_text()) for folder in (run, other_run)]
    assert plans[0]["steps"] == plans[1]["steps"]
    assert plans[0]["execution"] == plans[1]["execution"]
    for one, two in zip(lines_of(Path(run)), lines_of(Path(other_run)), strict=True):
        assert one["step"] == two["step"]
        assert one.get("flat_tokens") == two.get("flat_tokens")
        measured = "heldout_loss" if "heldout_loss" in two else "loss"
        assert one[measured] == pytest.approx(two[measured], rel=1e-6, abs=1e-6)
    weights, expected = load_file(Path(path, TENSORS)), load_file(Path(other_path, TENSORS))
    assert expected.keys() == weights.keys()
    assert any("heldout_loss" in line for line in lines_of(Path(run)))
    right = torch.cat([tensor.double().flatten() for tensor in expected.values()])
    moved = torch.cat([weights[key].double().flatten() for key in expected]) - right
    return float(moved.norm() / right.norm())


SHARDED = """
import torch
from torch import distributed
from transformers import AutoModelForCausalLM
import sys
from burnish_trainer import Recipe
from burnish_trainer.recipes.lora import add_adapter
from burnish_trainer.run.processes import join_processes, shard_base_weights

recipe = Recipe(rank=4)
processes = join_processes("fsdp2", recipe)
model = add_adapter(AutoModelForCausalLM.from_pretrained(sys.argv[1]), recipe, None)
whole = sum(p.numel() for p in model.parameters() if not p.requires_grad)
ids = torch.arange(12)[None]
with torch.no_grad():
    before = model(input_ids=ids).logits
shard_base_weights(model, processes)
base = [p for p in model.parameters() if not p.requires_grad]
own = sum(p.to_local().numel() for p in base)
with torch.no_grad():
    after = model(input_ids=ids).logits
torch.testing.assert_close(after, before)
parts = processes.gather(own)
assert sum(parts) == whole, (parts, whole)
assert max(parts) < 0.6 * whole
assert all(type(p) is torch.nn.Parameter for p in model.parameters() if p.requires_grad)
if processes.first:
    print("divided", flush=True)
"""

LEFT = """
import atexit, json, sys, time
from pathlib import Path
from torch import distributed
from burnish_trainer import Recipe
from burnish_trainer.run.processes import join_processes

steps = []

def leave(end=distributed.destroy_process_group):
    steps.append("leave")
    end()

if sys.argv[1] == "own group":
    distributed.init_process_group("gloo")
for _ in range(2):  # two trainings
    rank = join_processes("ddp", Recipe()).rank
distributed.destroy_process_group = leave
time.sleep = lambda seconds: steps.append("wait")
atexit._run_exitfuncs()  # what the interpreter calls first when it ends
Path(sys.argv[2], f"{rank}.json").write_text(json.dumps(steps))
if distributed.is_initialized():
    distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_each_process_holds_about_half_of_the_base_weights(tmp_path, base):
    script = tmp_path / "shard.py"
    script.write_text(SHARDED)
    done = launch([str(script), str(base)], 2)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip().endswith("divided")


@pytest.mark.slow
@pytest.mark.parametrize(("program", "steps"), [("no group", ["leave", "wait"]), ("own group", [])])
def test_processes_leave_the_group_that_burnish_made_before_the_interpreter_ends(
    tmp_path, program, steps
):
    """One that is still there aborts a finished process now and then, and the launcher calls the run failed."""
    script = tmp_path / "leave.py"
    script.write_text(LEFT)
    done = launch([str(script), program, str(tmp_path)], 2)
    assert done.returncode == 0, done.stderr[-3000:]
    told = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert told == [steps, steps]


@pytest.mark.slow
def test_processes_with_different_rows_are_told_before_the_first_step(tmp_path, base, two_sided):
    jobs = {"rows": USUAL["rows"]}
    done, found = run_jobs(tmp_path, base, two_sided, jobs, 2, CHANGED="1")
    assert done.returncode != 0
    assert "the processes of this run made different plans" in done.stderr
    assert not found
    assert not (tmp_path / "home2" / "runs").exists()


@pytest.mark.parametrize(
    ("parallel", "recipe", "reason"),
    [
        ("fsdp2", Recipe(), "there is one process"),
        ("zero3", Recipe(), "parallel = 'zero3'"),
    ],
)
def test_what_cannot_be_shared_is_refused(monkeypatch, parallel, recipe, reason):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(TrainingError, match=reason):
        join_processes(parallel, recipe)


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        (Recipe(method="full"), "trains every weight"),
        (Recipe(method="qlora"), "weights in 4 bits"),
        (Recipe(prefix_sharing="depth_first"), "not equally often"),
    ],
    ids=["full", "qlora", "depth_first"],
)
def test_what_cannot_be_divided_is_refused_before_the_processes_meet(monkeypatch, recipe, reason):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainingError, match=reason):
        join_processes("fsdp2", recipe)


def test_sharding_by_accelerate_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(TrainingError, match="burnish shards the base weights itself"):
        join_processes("ddp", Recipe())


def test_rows_are_divided_by_their_distinct_tokens():
    rng = random.Random(3)
    stem = [rng.randint(0, 50) for _ in range(40)]
    rows = [
        np.array(
            stem[: rng.randint(10, 40)] + [rng.randint(0, 50) for _ in range(rng.randint(1, 30))]
        )
        for _ in range(30)
    ]
    for count in (2, 3, 40):
        shares = share_rows(rows, count)
        assert len(shares) == count
        assert sorted(place for share in shares for place in share) == list(range(30))
    sizes = [count_distinct([rows[i] for i in share]) for share in share_rows(rows, 2)]
    assert max(sizes) < 0.65 * sum(sizes)
