"""Limits of a sandbox hold for everything in it, and no process of it outlives the starting process."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from burnish_exporters.verify.sandbox import box
from burnish_exporters.verify.sandbox.box import Limits, Program
from burnish_exporters.verify.sandbox.process_tree import ProcessTree

MB = 1024**2


@pytest.fixture(params=["bubblewrap", "namespaces"])
def way(request):
    """Each way; in CI both must be there."""
    if request.param not in box.ways():
        if os.environ.get("CI"):
            pytest.fail(f"no {request.param} here: apt-get install bubblewrap")
        pytest.skip(f"no {request.param} here")
    return request.param


def run(text, way, **limits):
    limits = {"wall_s": 15, "memory_bytes": 200 * MB, **limits}
    return box.run(Program(files={"main.py": text}), Limits(**limits), way=way)


FORKS = "import mmap, os, socket, threading, time\ndef spend():\n    {spend}\n    time.sleep(1.5); os._exit(0)\ndef go():\n    for i in range(4):\n        if os.fork() == 0: spend()\n    time.sleep(2)\n"
TOUCH = "    for j in range(0, 100 << 20, 4096): x[j] = 1"
PRIVATE = f"x = bytearray(100 << 20)\n{TOUCH}"
SHARED = f"x = mmap.mmap(-1, 100 << 20)\n{TOUCH}"
SOCKETS = "p = [socket.socketpair() for _ in range(50)]\n    for a, b in p:\n        for s in (a, b):\n            s.setblocking(False)\n            try:\n                while True: s.send(bytes(65536))\n            except BlockingIOError: pass"


@pytest.mark.parametrize("spend", [PRIVATE, SHARED, SOCKETS], ids=["private", "shared", "sockets"])
@pytest.mark.parametrize("start", ["go()", "t = threading.Thread(target=go); t.start(); t.join()"])
def test_memory_counts_whoever_holds_it(way, spend, start):
    most = {"memory_bytes": 100 * MB} if spend is SOCKETS else {}

    ran = run(FORKS.format(spend=spend) + start + "\nprint('held')\n", way, **most)

    assert (ran.ended, ran.stdout) == ("memory limit", b"")


def test_memory_that_processes_share_counts_once(way):
    text = (
        "import mmap, os, time\nx = mmap.mmap(-1, 120 << 20)\n"
        "for j in range(0, 120 << 20, 4096): x[j] = 1\n"
        "for i in range(3):\n    if os.fork() == 0:\n        s = x[:1]; sum(x[j] for j in range(0, 120 << 20, 4096)); time.sleep(.5); os._exit(0)\n"
        "for i in range(3): os.wait()\nprint('held')\n"
    )

    assert run(text, way, memory_bytes=400 * MB).stdout == b"held\n"


def test_processes_count_whichever_thread_has_started_them(way):
    text = (
        "import os, threading, time\n"
        "def go():\n    if os.fork() == 0: time.sleep(9); os._exit(0)\n    time.sleep(9)\n"
        "for i in range(20): threading.Thread(target=go, daemon=True).start()\ntime.sleep(9)\nprint('held')\n"
    )

    assert run(text, way, processes=10).stdout == b""


def test_sockets_of_other_families_are_refused(way):
    """Some of them (AF_VSOCK) are outside a network namespace, others (AF_ALG, AF_NETLINK) lead into the kernel."""
    text = (
        "import socket\nfor make in (socket.socket, socket.socketpair):\n    for family in (*range(3, 10), *range(11, 64)):\n"
        "        for kind in (1, 2, 3, 5):\n            try: print(make(family, kind))\n            except OSError as problem: print(problem.errno)\n"
    )

    assert set(run(text, way).stdout.split()) == {b"97"}  # EAFNOSUPPORT


def test_usual_sockets_are_there(way):
    text = (
        "import socket\na, b = socket.socketpair(); a.send(b'x'); print(b.recv(1))\n"
        "for f in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX): socket.socket(f)\nprint('all')\n"
    )

    assert run(text, way).stdout == b"b'x'\nall\n"


def test_files_of_the_folder_are_limited(way):
    text = (
        "import os\nn = 0\ntry:\n    while n < 40000:\n"
        "        os.close(os.open(f'/box/f{n}', os.O_CREAT | os.O_WRONLY)); n += 1\nexcept OSError: pass\nprint(n)"
    )

    assert 10_000 < int(run(text, way).stdout) <= 20_000


@pytest.mark.parametrize("number", [1, 2, 3, 10, 12, 13, 14, 15, 17, 18, 19, 20])
def test_no_signal_to_process_1_changes_how_a_program_ends(way, number):
    ran = run(f"import os, time\nos.kill(1, {number}); time.sleep(.2); raise SystemExit(3)", way)

    assert (ran.ended, ran.code) == ("exit", 3)


def test_what_a_program_reads_is_no_file_that_it_can_change(way):
    text = (
        "import os, sys\nfound = []\n"
        "for path in ('/proc/self/fd/0', '/dev/stdin'):\n    try: os.open(path, os.O_RDWR); found.append(path)\n    except OSError: pass\n"
        "for act in (lambda: os.write(0, b'x'), lambda: os.ftruncate(0, 1 << 20)):\n    try: act(); found.append('wrote')\n    except OSError: pass\n"
        "print(found, sys.stdin.read())\n"
    )
    program = Program(files={"main.py": text}, stdin=b"a" * 100_000)

    ran = box.run(program, Limits(wall_s=15), way=way)

    assert ran.stdout == b"[] " + b"a" * 100_000 + b"\n"


def test_a_program_inherits_nothing_but_its_three_streams(way):
    text = "import os\nfor n in range(3, 200):\n    try: os.fstat(n); print(n)\n    except OSError: pass\nprint('none')"

    assert run(text, way).stdout == b"none\n"


def test_a_report_beside_the_output_is_read_while_it_is_written_and_bounded(way):
    text = "import os\nfor _ in range(40): os.write(3, b'x' * 65536)\nprint('written')"
    program = Program(files={"main.py": text}, report_bytes=4 * MB)
    short = Program(files={"main.py": text}, report_bytes=1 * MB)

    whole = box.run(program, Limits(wall_s=15), way=way)
    cut = box.run(short, Limits(wall_s=15), way=way)

    assert (whole.ended, len(whole.report), whole.stdout) == ("exit", 40 * 65536, b"written\n")
    assert (cut.ended, len(cut.report)) == ("output limit", 1 * MB)


PARENT = """
import sys
from burnish_exporters.verify.sandbox import box as sandbox
class Popen(sandbox.subprocess.Popen):
    def __init__(self, *given, **named):
        super().__init__(*given, **named); sys.stdout.write("S"); sys.stdout.flush()
sandbox.subprocess.Popen = Popen
command = (sys.executable, "main.py", sys.argv[1])
files = {"main.py": "import os, time; os.fork(); time.sleep(60)"}
sandbox.run(sandbox.Program(command=command, files=files), sandbox.Limits(wall_s=60), way=sys.argv[2])
"""


def left_of(mark):
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            said = path.read_bytes()
        except OSError:
            continue
        if mark.encode() in said and b"PARENT" not in said:
            found.append(int(path.parent.name))
    return found


def test_nothing_outlives_a_parent_that_is_killed_at_any_moment(way):
    rng = random.Random(7)
    for turn in range(8):
        mark = f"left-{os.getpid()}-{way}-{turn}"
        command = [sys.executable, "-c", PARENT, mark, way]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout.read(1) == b"S"
        time.sleep(rng.choice([0, 0.005, 0.01, 0.03, 0.06, 0.15, 0.3]))
        process.kill()
        process.wait()
        process.stdout.close()
        while left_of(mark):  # the kernel takes its time; the test's own limit ends this
            time.sleep(0.02)


def test_a_process_that_was_seen_is_followed_when_its_parent_leaves(tmp_path):
    script = "import os, time\nif os.fork() == 0:\n    os.setsid(); time.sleep(60)\nprint(1, flush=True); input(); os._exit(0)"
    process = subprocess.Popen(
        [sys.executable, "-c", f"import os\nif os.fork() == 0:\n    exec({script!r})\nos.wait()\nimport time; time.sleep(60)"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    tree = ProcessTree(process.pid)
    assert process.stdout.readline() == b"1\n"
    before = tree.usage(1 << 40)
    process.stdin.write(b"\n")
    process.stdin.close()
    while tree.usage(1 << 40).processes == before.processes:
        time.sleep(0.01)
    after = tree.usage(1 << 40)

    assert (before.processes, after.processes) == (2, 1)
    for pid in [*tree._known, process.pid]:
        os.kill(pid, 9)
    process.wait()
    process.stdout.close()
