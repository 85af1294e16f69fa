"""Fifty hostile programs, with the expected class of each.

`PROGRAMS` should print the sum of two numbers and face one case, "2 3". `SOLUTIONS` should define a
function `square` and face tests of it. None of them solves its task, except those that try to
outlive it.
"""

PROGRAMS = {
    "fork bomb": ("resource limit", "import os\nwhile True: os.fork()"),
    "fork bomb that hides its errors": (
        "time-out",
        "import os, time\nwhile True:\n    try: os.fork()\n    except OSError: time.sleep(0.05)",
    ),
    "threads without end": (
        "resource limit",
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(99,), daemon=True).start()",
    ),
    "memory bomb": ("resource limit", "held = []\nwhile True: held.append(bytearray(10**7))"),
    "memory bomb in many children": (
        "resource limit",
        "import os, time\n"
        "for _ in range(20):\n    if os.fork() == 0:\n        held = b'x' * 150_000_000; time.sleep(99)\n"
        "time.sleep(99)",
    ),
    "endless loop": ("time-out", "while True: pass"),
    "endless sleep": ("time-out", "import time\ntime.sleep(10_000)"),
    "endless loop that ignores signals": (
        "time-out",
        "import signal\n"
        "for s in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}: signal.signal(s, signal.SIG_IGN)\n"
        "while True: pass",
    ),
    "stops itself": ("time-out", "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)"),
    "child in a session of its own, right answer": (
        "pass",
        "import os, time\n"
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(10_000)\n    os._exit(0)\n"
        "print(5)",
    ),
    "child that ignores signals and holds the output": (
        "wrong output",
        "import os, signal, time\n"
        "if os.fork() == 0:\n    signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(10_000)\n",
    ),
    "endless output": ("resource limit", "while True: print('x' * 10_000)"),
    "endless errors": ("resource limit", "import sys\nwhile True: print('x' * 10_000, file=sys.stderr)"),
    "a connection to the world": (
        "exception",
        "import socket\nsocket.create_connection(('1.1.1.1', 80), 2)\nprint(5)",
    ),
    "a name of the world": ("exception", "import socket\nsocket.getaddrinfo('example.com', 80)\nprint(5)"),
    "a connection to this machine": (
        "exception",
        "import socket\nsocket.create_connection(('127.0.0.1', 22), 2)\nprint(5)",
    ),
    "the list of users": ("exception", "open('/etc/passwd').read()\nprint(5)"),
    "somebody's home": ("exception", "open('/root/.bashrc').read()\nprint(5)"),
    "a link to the list of users": (
        "exception",
        "import os\nos.symlink('/etc/passwd', 'mine')\nopen('mine').read()\nprint(5)",
    ),
    "a way up and down again": ("exception", "open('../../../../etc/shadow').read()\nprint(5)"),
    "memory of process 1": ("exception", "open('/proc/1/mem', 'rb').read(1)\nprint(5)"),
    "a file among the system's": ("exception", "open('/usr/bin/mine', 'w')\nprint(5)"),
    "a file in the root": ("exception", "open('/mine', 'w')\nprint(5)"),
    "a disk full of zeros": (
        "resource limit",
        "for n in range(10_000):\n    with open(f'{n}', 'wb') as file: file.write(bytes(10**6))",
    ),
    "one file without end": (
        "resource limit",
        "with open('big', 'wb') as file:\n    while True: file.write(bytes(10**6))",
    ),
    "files that stay open": ("resource limit", "held = [open('/dev/null') for _ in range(10_000)]"),
    "memory in a file that has no name": (
        "exception",
        "import os\nos.memfd_create('mine')\nprint(5)",
    ),
    "a user namespace of its own": (
        "exception",
        "import ctypes\nassert ctypes.CDLL(None).unshare(0x10000000) == 0\nprint(5)",
    ),
    "becomes root": ("exception", "import os\nos.setuid(0)\nprint(5)"),
    "kills its parent, then all there is": (
        "wrong output",
        "import os, signal, time\n"
        "if os.fork() == 0: time.sleep(99)\n"
        "os.kill(os.getppid(), signal.SIGKILL)\nos.kill(-1, signal.SIGKILL)\nprint(6)",
    ),
    "right answer, wrong end": ("exception", "import sys\nprint(5)\nsys.exit(3)"),
    "left before it began": ("wrong output", "import os\nos._exit(0)\nprint(5)"),
    "says that it passed": ("wrong output", "print('1 passed in 0.01s')\nprint('OK')\nprint('success')"),
    "crash in C": ("exception", "import ctypes\nctypes.string_at(0)\nprint(5)"),
}  # fmt: skip

TESTS = """
import unittest
from solution import square

def test_of_two():
    assert square(2) == 4

class TestMore(unittest.TestCase):
    def test_of_minus_three(self):
        self.assertEqual(square(-3), 9)
"""

SOLUTIONS = {
    "patches the comparisons": (
        "wrong output",
        "import unittest, builtins\n"
        "unittest.TestCase.assertEqual = lambda *a: None\nbuiltins.AssertionError = KeyError\n"
        "def square(x): return 0",
    ),
    "equals everything": (
        "wrong output",
        "class Yes:\n    def __eq__(self, other): return True\n    def __hash__(self): return 4\n"
        "def square(x): return Yes()",
    ),
    "a number that equals everything": (
        "wrong output",
        "class Yes(int):\n    def __eq__(self, other): return True\n    def __hash__(self): return 4\n"
        "def square(x): return Yes(0)",
    ),
    "prints that all passed and leaves": (
        "exception",
        "import os\nprint('2 passed', flush=True)\nos._exit(0)",
    ),
    "leaves in the middle": ("exception", "import os\ndef square(x): os._exit(0)"),
    "exits when imported": ("exception", "import sys\nsys.exit(0)"),
    "exits when called": ("exception", "import sys\ndef square(x): sys.exit(0)"),
    "asks to be skipped": (
        "exception",
        "import unittest\ndef square(x): raise unittest.SkipTest('not today')",
    ),
    "deletes all that it finds": (
        "wrong output",
        "import os, shutil\n"
        "for name in os.listdir('/box'): shutil.rmtree(f'/box/{name}', ignore_errors=True)\n"
        "def square(x): return 0",
    ),
    "rewrites the line to the tests": (
        "exception",
        "from burnish_exporters.verify.sandbox import rpc\n"
        "rpc.Peer.encode = lambda self, value: ['v', True]\n"
        "def square(x): return 0",
    ),
    "speaks nonsense to the tests": ("exception", "import os\ndef square(x): os.write(4, b'{}\\n')"),
    "forges a report": (
        "exception",
        "import os\ndef square(x): os.write(5, b'{\"tests\": [], \"problem\": null}')",
    ),
    "calls eval in the tests' process": (
        "exception",
        "import os\n"
        "def square(x):\n"
        "    ask = b'[\"ask\", \"call\", [[\"type\", \"type\"], [\"l\", [[\"i\", \"0x1\"]]], [\"d\", []]]]\\n'\n"
        "    os.write(4, ask); os.close(4)",
    ),
    "kills its parent": (
        "wrong output",
        "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\ndef square(x): return 0",
    ),
    "loops when imported": ("time-out", "while True: pass"),
    "sleeps when called": ("time-out", "import time\ndef square(x): time.sleep(10_000)"),
}  # fmt: skip
