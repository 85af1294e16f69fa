"""A run that is interrupted in one process and resumed in another is one trajectory.

The PostgreSQL here is real: a temporary cluster behind a Unix socket.
"""

import itertools
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from burnish.journal.events import ModelEnded, ModelStarted, NodeStarted, RunEnded, RunStarted
from burnish.journal.reader import read_events
from burnish.workspace import Workspace

PROGRAM = Path(__file__).with_name("asker.py")
INSTALL = "apt-get install -y postgresql"
# one worker starts the database, all tests use it
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("postgres")]


def binaries() -> Path | None:
    """Return the folder of Debian's newest PostgreSQL programs."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    on_path = shutil.which("initdb")
    if on_path is not None:
        found.append(Path(on_path).resolve().parent)
    return max(found, default=None, key=lambda path: path.parent.name)


class Cluster:
    """A separate PostgreSQL; as root it runs as user postgres, because PostgreSQL refuses root."""

    def __init__(self, programs: Path) -> None:
        self.programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="burnish-postgres-"))
        self.as_user: list[str] = []
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            group = f"--regid={owner.pw_gid}"
            self.as_user = ["setpriv", f"--reuid={owner.pw_uid}", group, "--clear-groups"]

    def run(self, program: str, *arguments: str) -> None:
        command = [*self.as_user, str(self.programs / program), "-D", f"{self.folder}/data"]
        with (self.folder / "programs.log").open("a") as log:
            subprocess.run(
                [*command, *arguments], check=True, cwd=self.folder, stdout=log, stderr=log
            )

    def start(self) -> str:
        """Start the cluster; return its connection string."""
        self.run("initdb", "-U", "burnish", "-A", "trust", "--no-locale", "-E", "UTF8", "-N")
        options = f"-F -k {self.folder} -c listen_addresses=''"
        self.run("pg_ctl", "-w", "-l", f"{self.folder}/server.log", "-o", options, "start")
        return f"host={self.folder} user=burnish dbname=postgres"

    def stop(self) -> None:
        self.run("pg_ctl", "-w", "-m", "immediate", "stop")
        shutil.rmtree(self.folder)


@pytest.fixture(scope="module")
def postgres():
    programs = binaries()
    if programs is None:
        said = f"no PostgreSQL on this machine: {INSTALL}"
        if os.environ.get("CI"):
            pytest.fail(said)
        pytest.skip(said)
    cluster = Cluster(programs)
    place = cluster.start()
    yield place
    cluster.stop()


@pytest.fixture
def place(request, tmp_path):
    """Location of the checkpoints of one test."""
    if request.param == "sqlite":
        return "sqlite", str(tmp_path / "checkpoints.sqlite")
    import psycopg

    database = f"test_{next(_numbers)}"
    where = request.getfixturevalue("postgres")
    with psycopg.connect(where, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {database}")
    return "postgres", where.replace("dbname=postgres", f"dbname={database}")


_numbers = itertools.count()


def process(home, place, way, action):
    """Run one process that performs one action and ends."""
    environment = {**os.environ, "BURNISH_HOME": str(home)}
    environment.pop("PYTEST_CURRENT_TEST", None)
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *place, way, action],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def of(kind, found):
    return [event for event in found if isinstance(event, kind)]


@pytest.mark.parametrize(
    ("place", "first", "second"),
    [
        ("sqlite", "sync", "sync"),
        ("sqlite", "async", "async"),
        ("postgres", "sync", "sync"),
        ("postgres", "async", "async"),
        ("postgres", "stream", "events"),
    ],
    indirect=["place"],
)
def test_it_stays_one_trajectory(tmp_path, place, first, second):
    process(tmp_path / "home", place, first, "ask")
    process(tmp_path / "home", place, second, "answer")

    found = [event for event, _ in read_events(tmp_path / "home")]
    assert len({event.trajectory for event in found}) == 1
    assert [event.resumed for event in of(RunStarted, found)] == [False, True]
    assert [event.status for event in of(RunEnded, found)] == ["interrupted", "completed"]
    nodes = {event.span: event.name for event in of(NodeStarted, found)}
    assert [nodes[event.parent] for event in of(ModelStarted, found)] == ["ask", "ask", "tell"]
    assert not any(event.error_type for event in of(ModelEnded, found))
    (trajectory,) = Workspace(tmp_path / "home").trajectories()
    assert (trajectory.status, trajectory.thread_id) == ("completed", "t")
    assert len(trajectory.model_calls) == 3
    assert trajectory.losses == {}


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
def test_it_stays_one_trajectory_where_a_person_edits_the_state(tmp_path, place):
    process(tmp_path / "home", place, "sync", "ask")
    process(tmp_path / "home", place, "async", "edit")
    process(tmp_path / "home", place, "sync", "go-on")

    (trajectory,) = Workspace(tmp_path / "home").trajectories()
    assert trajectory.status == "completed"
    assert [call.node for call in trajectory.model_calls] == ["ask", "tell"]
