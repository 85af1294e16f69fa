"""Hostile programs get the right label and leave no process behind, in every way of isolation."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hostile_programs import PROGRAMS, SOLUTIONS, TESTS

from burnish.errors import VerificationError
from burnish_exporters.verify import PoolSettings, code, judge_all, passes_tests
from burnish_exporters.verify.sandbox import box
from burnish_exporters.verify.sandbox.box import Limits, Program

PR_SET_CHILD_SUBREAPER = 36
LIMITS = {"wall_s": 60, "cpu_s": 40, "memory_bytes": 512 * 1024**2, "processes": 30}
SHORT = {**LIMITS, "wall_s": 1.5, "cpu_s": 1}


@pytest.fixture(autouse=True)
def orphans_come_to_us():
    """Make this process the parent of orphans below it, so that the test sees them all."""
    libc = ctypes.CDLL(None)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def strays():
    """Processes below this one that still run."""
    parents = {}
    for process in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = process.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state != "Z":
            parents[int(process.parent.name)] = int(parent)
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}


@pytest.fixture(params=box.ways())
def way(request, monkeypatch):
    """The ways in which this machine can shut programs in: bubblewrap where it is installed, and without it."""
    box.ways.cache_clear()
    if request.param == "namespaces":
        monkeypatch.setenv("PATH", "/nowhere")
    assert box.best_way() == request.param
    yield request.param
    box.ways.cache_clear()


def judged(verifier, run, text):
    answer = f"Here it is:\n```python\n{text}\n```"
    return verifier.verify(msgspec.structs.replace(run, answer=answer))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_fifty_hostile_programs_are_classed_right_and_leave_no_process(way, make_run):
    before = strays()
    cases = {"*": [{"stdin": "2 3", "stdout": "5"}]}
    wanted, found = {}, {}
    for name, (kind, text) in PROGRAMS.items():
        limits = SHORT if kind == "time-out" else LIMITS
        verdict = judged(code(cases, limits=limits), make_run(1), text)
        wanted[name], found[name] = kind, (verdict.evidence or {}).get("class", verdict)
        assert verdict.label == ("success" if kind == "pass" else "fail"), name
    for name, (kind, text) in SOLUTIONS.items():
        limits = SHORT if kind == "time-out" else LIMITS
        verdict = judged(passes_tests({"*": TESTS}, limits=limits), make_run(1), text)
        wanted[name], found[name] = kind, (verdict.evidence or {}).get("class", verdict)
        assert verdict.label == "fail", name

    assert len(wanted) == 50
    assert found == wanted
    assert strays() - before == set()


def test_the_machine_that_tests_has_a_sandbox():
    """Otherwise the tests here would say nothing; apt-get install bubblewrap."""
    assert box.ways()


def test_a_program_sees_an_empty_folder_no_variables_of_ours_and_a_stranger(way, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_AGENT", "hush")
    text = "import os; print(os.listdir('.'), os.environ.get('SECRET_OF_THE_AGENT'), os.getuid() > 0, os.getppid())"

    ran = box.run(Program(files={"main.py": text}))

    assert (ran.stdout, ran.ended) == (b"['main.py'] None True 1\n", "exit")


def test_what_a_program_writes_is_gone_when_the_next_one_starts(way):
    for _ in range(2):
        ran = box.run(Program(files={"main.py": "open('mine', 'x').write('1'); print('new')"}))
        assert ran.stdout == b"new\n"


def test_other_programs_than_python_run_too(way):
    ran = box.run(Program(command=("sh", "-c", "cat; exit 7"), stdin=b"said"))

    assert (ran.stdout, ran.code) == (b"said", 7)


def test_a_command_that_is_not_there_is_an_exit_with_its_reason(way):
    ran = box.run(Program(command=("no-such-command",)))

    assert (ran.code, b"FileNotFoundError" in ran.stderr) == (127, True)


def test_interrupting_the_caller_ends_the_program_and_its_children():
    script = (
        "from burnish_exporters.verify.sandbox.box import *\n"
        "print('ready', flush=True)\n"
        "run(Program(files={'main.py': 'import os, time; os.fork(); print(1); time.sleep(999)'}), Limits(wall_s=900))\n"
    )
    before = strays()
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    while not strays() - before:
        assert process.poll() is None
    process.kill()
    process.wait()
    process.stdout.close()

    while strays() - before:  # the kernel takes its time; the test's own limit ends this
        os.sched_yield()


def test_nothing_is_left_of_programs_whose_verification_took_too_long(make_run):
    """The verifier's process is killed with the sandbox running; the sandbox follows."""
    before = strays()
    verifier = code({"*": [{"stdout": "5"}]}, limits={"wall_s": 600, "cpu_s": 600})
    run = msgspec.structs.replace(make_run(1), answer="import os\nos.fork()\nwhile True: pass")

    ((_, (verdict,)),) = judge_all([verifier], [run], PoolSettings(time_limit_s=4))

    assert (verdict.label, verdict.evidence) == ("unknown", {"reason": "time limit of 4 s"})
    while strays() - before:  # the kernel takes its time; the test's own limit ends this
        os.sched_yield()


def test_a_file_outside_the_folder_is_refused():
    for path in ("/etc/x", "../x"):
        with pytest.raises(VerificationError, match="inside the folder"):
            box.run(Program(files={path: ""}))


def test_without_a_sandbox_nothing_runs_and_the_error_says_what_to_install(make_run):
    """In a process whose kernel refuses namespaces, as some containers do."""
    script = (
        "from burnish_exporters.verify import code, judge_all, PoolSettings\n"
        "from burnish_exporters.verify.sandbox import box_init as inside\n"
        "from burnish.records import Trajectory\n"
        "inside._prctl(inside._PR_SET_NO_NEW_PRIVS, 1)\n"
        "inside._deny_calls()\n"
        "verifier = code({'*': [{'stdout': '5'}]})\n"
        "run = Trajectory(id='1', agent='a', status='completed', answer='print(5)')\n"
        "try: list(judge_all([verifier], [run]))\n"
        "except Exception as problem: print(type(problem).__name__, problem)\n"
    )
    environment = {**os.environ, "BURNISH_CAPTURE": "off"}

    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True
    )

    assert ran.stdout.startswith("VerificationError no sandbox on this machine")
    assert "try: apt-get install bubblewrap" in ran.stdout


def test_a_container_whose_root_owns_one_user_only_has_a_sandbox_too():
    """That container has no other user to change to: the program gets a user namespace."""
    script = (
        "from burnish_exporters.verify.sandbox.box import *\n"
        'text = \'import os; print(os.getuid()); open("/usr/mine", "w")\'\n'
        "for way in ways(): ran = run(Program(files={'main.py': text}), way=way); print(ran.code, ran.stdout)\n"
    )
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", script]

    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert set(said.splitlines()) == {"1 b'1000\\n'"}


def test_limits_are_told_apart(way):
    slow = box.run(Program(files={"main.py": "while True: pass"}), Limits(wall_s=0.5))
    big = box.run(
        Program(files={"main.py": "x = b'x' * 10**9"}), Limits(memory_bytes=256 * 1024**2)
    )

    assert slow.ended == "time limit"
    assert (big.ended, big.code) == ("exit", 1)
    assert b"MemoryError" in big.stderr
