"""Settings and keys that another user owns or may change are refused by name, never used or skipped."""

import os
import stat
from pathlib import Path

import pytest

from burnish import settings
from burnish.config import config_file
from burnish.errors import SettingsError, WorkspaceError
from burnish.files.ownership import describe_foreign_part
from burnish.project import load_project
from burnish.redaction import workspace_key

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")
NOBODY = 65534


@pytest.fixture(autouse=True)
def untouched(monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in os.environ if name.startswith("BURNISH")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("SUDO_UID", raising=False)
    settings.reset()
    yield
    settings.reset()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A burnish.toml two folders above the current one."""
    path = tmp_path / "shared" / "burnish.toml"
    (path.parent / "a" / "b").mkdir(parents=True)
    path.write_text('[burnish]\notlp_endpoint = "http://collector.example:4318"\n')
    path.chmod(0o644)
    monkeypatch.chdir(path.parent / "a" / "b")
    return path


def endpoint() -> str | None:
    settings.reset()
    return settings.current().otlp_endpoint


def test_a_file_of_ones_own_is_used(file: Path):
    assert endpoint() == "http://collector.example:4318"


@as_root
def test_a_file_of_another_user_is_refused_by_name(file: Path):
    os.chown(file, NOBODY, NOBODY)

    with pytest.raises(SettingsError, match=rf"{file} is not used: .* belongs to user {NOBODY}"):
        endpoint()
    with pytest.raises(SettingsError, match="belongs to user"):
        load_project()


@as_root
def test_a_folder_of_another_user_above_the_file_is_refused(file: Path):
    os.chown(file.parent, NOBODY, NOBODY)

    with pytest.raises(SettingsError, match=rf"{file.parent} belongs to user {NOBODY}"):
        endpoint()


@as_root
def test_what_the_user_of_sudo_owns_is_trusted(file: Path, monkeypatch: pytest.MonkeyPatch):
    os.chown(file, NOBODY, NOBODY)
    monkeypatch.setenv("SUDO_UID", str(NOBODY))

    assert endpoint() == "http://collector.example:4318"


def test_a_file_that_anybody_may_write_is_refused(file: Path):
    file.chmod(0o646)

    with pytest.raises(SettingsError, match=r"others may write .* \(mode 0646\)"):
        endpoint()


def test_a_folder_that_anybody_may_write_is_refused_unless_it_is_sticky(file: Path):
    file.parent.chmod(0o777)
    with pytest.raises(SettingsError, match="others may write"):
        endpoint()

    file.parent.chmod(0o777 | stat.S_ISVTX)
    assert endpoint() == "http://collector.example:4318"


@as_root
def test_a_group_with_other_members_may_not_write(file: Path):
    os.chown(file, 0, NOBODY)
    file.chmod(0o664)

    with pytest.raises(SettingsError, match="others may write"):
        endpoint()


def test_the_group_of_the_user_alone_may_write(file: Path):
    import grp
    import pwd

    me = pwd.getpwuid(os.geteuid())
    if set(grp.getgrgid(me.pw_gid).gr_mem) - {me.pw_name}:
        pytest.skip("this user shares the primary group")
    file.chmod(0o664)

    assert endpoint() == "http://collector.example:4318"


@as_root
def test_a_link_to_a_file_of_another_user_is_refused(file: Path, tmp_path: Path):
    other = tmp_path / "other.toml"
    file.rename(other)
    os.chown(other, NOBODY, NOBODY)
    file.symlink_to(other)

    with pytest.raises(SettingsError, match="belongs to user"):
        endpoint()


@as_root
def test_a_file_that_is_named_is_used_as_it_is(file: Path, monkeypatch: pytest.MonkeyPatch):
    os.chown(file, NOBODY, NOBODY)
    monkeypatch.setenv("BURNISH_CONFIG", str(file))

    assert endpoint() == "http://collector.example:4318"


def test_the_search_ends_at_the_home_folder(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(file.parent / "a"))
    assert config_file.find_config() is None

    monkeypatch.setenv("HOME", str(file.parent))
    assert config_file.find_config() == file


def test_the_search_ends_where_another_file_system_begins():
    if Path("/proc").stat().st_dev == Path("/").stat().st_dev:
        pytest.skip("no second file system")
    folders = list(config_file._search_folders(Path("/proc/self")))

    assert Path("/proc") in folders
    assert Path("/") not in folders


@as_root
def test_a_key_of_another_user_is_refused(tmp_path: Path):
    home = tmp_path / "home"
    key = workspace_key(home)
    assert workspace_key(home) == key
    file = home / "redaction.key"

    os.chown(file, NOBODY, NOBODY)
    with pytest.raises(WorkspaceError, match=rf"{file} is not used"):
        workspace_key(home)


def test_an_empty_key_is_no_key_and_one_that_others_may_write_is_refused(tmp_path: Path):
    home = tmp_path / "home"
    workspace_key(home)
    file = home / "redaction.key"
    file.chmod(0o666)
    with pytest.raises(WorkspaceError, match="others may write"):
        workspace_key(home)

    file.chmod(0o600)
    file.write_bytes(b"\n")
    with pytest.raises(WorkspaceError, match="is empty"):
        workspace_key(home)


def test_a_key_that_others_may_read_is_made_private(tmp_path: Path):
    home = tmp_path / "home"
    key = workspace_key(home)
    (home / "redaction.key").chmod(0o644)

    assert workspace_key(home) == key
    assert stat.S_IMODE((home / "redaction.key").stat().st_mode) == 0o600


def test_a_file_that_is_not_there_belongs_to_nobody(tmp_path: Path):
    assert describe_foreign_part(tmp_path / "none") is None
