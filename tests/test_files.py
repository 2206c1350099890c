import errno
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from marl_stl_env.errors import LockedError, OutputError
from marl_stl_env.files import (
    LOCK,
    atomic_path,
    clear_drafts,
    locked,
    remove_folder,
    write_text,
)

_HOLD = """
import sys, time
from pathlib import Path
from marl_stl_env.files import locked
with locked(Path(sys.argv[1])):
    print('held', flush=True)
    time.sleep(60)
"""


def holder(folder: Path) -> "subprocess.Popen[str]":
    """Another process that holds the lock of a folder until it is killed."""
    line = [sys.executable, "-c", _HOLD, str(folder)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.txt"
    write_text(target, "old")

    def fail() -> None:
        with atomic_path(target) as draft:
            draft.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert target.read_text() == "old"
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    with atomic_path(target) as draft:
        draft.mkdir()
        (draft / "a").write_text("a")
        assert not target.exists()
    assert (target / "a").read_text() == "a"


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.1])
def test_a_killed_writer_leaves_whole_files_only(tmp_path: Path, delay: float) -> None:
    code = (
        "from pathlib import Path\n"
        "from marl_stl_env.files import write_text\n"
        f"target = Path({str(tmp_path / 'file.txt')!r})\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    for symbol in 'ab':\n"
        "        write_text(target, symbol * 3_000_000)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        while not (tmp_path / "file.txt").exists():
            time.sleep(0.001)
        time.sleep(delay)
        writer.kill()
    text = (tmp_path / "file.txt").read_text()
    assert len(text) == 3_000_000
    assert len(set(text)) == 1


def test_a_lock_is_held_by_one_and_dies_with_its_process(tmp_path: Path) -> None:
    with holder(tmp_path) as other:
        told = f"{tmp_path} is being written by process {other.pid} on"
        with pytest.raises(LockedError, match=told), locked(tmp_path):
            pass
        other.kill()
    assert (tmp_path / LOCK).exists()  # left by the killed process, and no obstacle
    told = f"process {os.getpid()} on"
    with locked(tmp_path), pytest.raises(LockedError, match=told), locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_no_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / LOCK).symlink_to(victim)
    with pytest.raises(OutputError), locked(tmp_path / "folder"):
        pass
    assert victim.read_text() == "precious"


def draft(folder: Path, name: str, lock: str | None, age: float) -> Path:
    """A draft as a process leaves it that was killed so many seconds ago."""
    path = folder / f".{name}.a1b2c3d4.tmp"
    (path / name).mkdir(parents=True)
    if lock is not None:
        (path / LOCK).write_text(lock)
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_drafts_of_dead_processes_are_removed(tmp_path: Path) -> None:
    here, week = f"1 {socket.gethostname()}", 7 * 86_400.0
    gone = [
        draft(tmp_path, "dead", here, 0.0),
        draft(tmp_path, "unlocked", None, 11.0),
        draft(tmp_path, "empty", "", 11.0),
        draft(tmp_path, "far", "1 another-machine", week + 1.0),
    ]
    kept = [
        draft(tmp_path, "new", None, 1.0),
        draft(tmp_path, "new-empty", "", 1.0),
        draft(tmp_path, "near", "1 another-machine", week - 60.0),
        tmp_path / ".mine.tmp",
        tmp_path / ".notes.a1b2c3d4.tmp",
    ]
    kept[3].mkdir()
    (kept[4] / "of-a-user").mkdir(parents=True)
    os.utime(kept[4], (0, 0))
    with atomic_path(tmp_path / "alive") as alive:
        os.utime(alive.parent, (0, 0))
        clear_drafts(tmp_path)
        assert {path for path in tmp_path.iterdir() if path in gone} == set()
        assert set(tmp_path.iterdir()) == {*kept, alive.parent}
        alive.write_text("whole")
    assert (tmp_path / "alive").read_text() == "whole"


def test_a_folder_goes_whole(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    remove_folder(tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    def fill() -> None:
        with atomic_path(tmp_path / "file"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OutputError, match=r"file cannot be written: No space left on device"):
        fill()
    with pytest.raises(OutputError, match="cannot be written"):
        write_text(tmp_path, "over a folder")
    for number, remedy in (
        (errno.EDQUOT, "free some space, or"), (errno.EROFS, "get the right to write"),
        (errno.ENOTDIR, "a file is in the way"), (errno.EIO, "; choose another place"),
    ):  # fmt: skip
        said = str(OutputError(tmp_path, OSError(number, "no")))
        assert remedy in said
        assert ("free some space" in said) == (number == errno.EDQUOT)
    assert list(tmp_path.iterdir()) == []
