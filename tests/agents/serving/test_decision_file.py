"""The file of decisions is renamed by others: no decision is lost or written twice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from marl_stl_agents.serving.server import DECISIONS, Server

from marl_stl_env.errors import ServingError
from tests.agents.serving.conftest import Served


def joined(folder: Path) -> bytes:
    """All decisions, the oldest file first: higher numbers are older, as logrotate has them."""
    files = sorted((folder / "out").glob(f"{DECISIONS}.*"), reverse=True)
    return b"".join(path.read_bytes() for path in [*files, folder / "out" / DECISIONS])


def rename(folder: Path, number: int, create: bool) -> None:
    path = folder / "out" / DECISIONS
    path.rename(path.with_name(f"{DECISIONS}.{number}"))
    if create:
        path.touch()


@pytest.mark.parametrize("create", [False, True])
def test_renamed_while_it_is_written(
    served: Served, uninterrupted: bytes, tmp_path: Path, create: bool
) -> None:
    (tmp_path / "flows.csv").write_bytes(b"".join(served.lines))
    one = served.server(tmp_path, snapshot_seconds=3600.0)
    for number in (3, 2, 1):
        assert one.step()
        rename(tmp_path, number, create)
    one.run(until_end=True)
    one.close()
    assert joined(tmp_path) == uninterrupted
    assert all((tmp_path / "out" / f"{DECISIONS}.{n}").stat().st_size for n in (1, 2, 3))


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("at", range(4))
def test_killed_around_a_rename(
    served: Served, uninterrupted: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Before it is noticed; after the first snapshot; after the new file; at the end."""
    (tmp_path / "flows.csv").write_bytes(b"".join(served.lines))
    one = served.server(tmp_path, snapshot_seconds=3600.0)
    one.save()
    one.step()
    rename(tmp_path, 1, create=False)
    saves, real = 0, Server.save

    def save(self: Server) -> None:
        nonlocal saves
        if saves == at - 1:
            raise Killed
        saves += 1
        real(self)

    with monkeypatch.context() as patch:
        if at in (1, 2):
            patch.setattr(Server, "save", save)
            with pytest.raises(Killed):
                one.step()
        elif at == 3:
            one.step()
            one.step()
    one.close()  # nothing is saved
    assert served.served(tmp_path)
    assert joined(tmp_path) == uninterrupted


def test_what_is_refused(served: Served, tmp_path: Path) -> None:
    """Other programs' lines in its place, and copytruncate."""
    (tmp_path / "flows.csv").write_bytes(b"".join(served.lines))
    one = served.server(tmp_path)
    one.step()
    rename(tmp_path, 1, create=False)
    (tmp_path / "out" / DECISIONS).write_text("{}\n")
    with pytest.raises(ServingError, match="lines of another program"):
        one.step()
    one.close()
    with pytest.raises(ServingError, match="has not written"):
        served.server(tmp_path)
    (tmp_path / "out" / DECISIONS).unlink()
    again = served.server(tmp_path)
    again.step()
    os.truncate(tmp_path / "out" / DECISIONS, 0)
    with pytest.raises(ServingError, match="by copytruncate"):
        again.step()
    again.close()
