import subprocess
import sys
import time
from pathlib import Path

import pytest

from marl_stl_env.files import atomic_path, write_text


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
