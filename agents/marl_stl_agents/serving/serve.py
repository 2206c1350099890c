"""Serve a run until told to stop."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import FrameType

from marl_stl_agents.config import ServeConfig
from marl_stl_agents.evaluation.drift.report import without_reference
from marl_stl_agents.evaluation.new_traffic.team import load_team
from marl_stl_agents.run_directory import DRIFT, find_run
from marl_stl_agents.serving.pages import pages
from marl_stl_agents.serving.place import rotated_files
from marl_stl_agents.serving.server import Server
from marl_stl_agents.serving.status import Status
from marl_stl_env.errors import DataFileNotFoundError, ServingError
from marl_stl_env.files import clear_drafts, locked, output_errors

FOLDER = "serving"


def serve(settings: ServeConfig, say: Callable[[str], None] = lambda _: None) -> Status:
    """Let a run's team decide on a log while it grows; SIGTERM and SIGINT end it in good order.

    Args:
        settings: The server.
        say: Takes what it begins with, and once a minute at most what is malformed.

    Returns:
        What it counted.

    Raises:
        RunError: If there is no such run, or it is damaged.
        ServingError: If the folder holds the state of something else, or the port is taken.
        LockedError: If another server writes into the folder.
        OutputError: If it cannot be written to.
        DataError: If the log is not what the team can decide on.
    """
    run = find_run(settings.run)
    folder = settings.folder or run / FOLDER
    team = load_team(
        run, device=settings.device, threads=settings.threads, plugins=settings.plugins
    )
    with ExitStack() as stack:
        with output_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(locked(folder))
        clear_drafts(folder)
        _check_apart(settings, folder)
        server = stack.enter_context(closing(Server(team, settings, folder, say)))
        if settings.port is not None:
            address = stack.enter_context(pages(server.status, settings.host, settings.port))
            say(f"metrics and health: {address}")
        say(f"decisions: {folder}")
        _check_log(settings, say)
        if not (run / DRIFT).exists():
            say(without_reference(run))
        stack.enter_context(_stopped_by_signals(server.stopping.set))
        server.run(until_end=settings.until_end)
    return server.status


def _check_log(settings: ServeConfig, say: Callable[[str], None]) -> None:
    """Say that there is no log yet; refuse it where nothing would be waited for."""
    if settings.follow.exists() or any(rotated_files(settings.follow)):
        return
    if settings.until_end:
        raise DataFileNotFoundError(f"{settings.follow} is not a file; check the path (--follow)")
    say(f"waiting for {settings.follow}, which does not exist yet")


def _check_apart(settings: ServeConfig, folder: Path) -> None:
    """Refuse a log among the server's own files: it would follow itself."""
    for path in (settings.follow, settings.verdicts):
        if path is not None and path.absolute().parent == folder.absolute():
            raise ServingError(
                f"{path} is in the folder that the server writes into; choose another --folder"
            )


@contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    def handle(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop()

    try:
        old = {one: signal.signal(one, handle) for one in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not in the main thread: there is somebody else who stops it
        yield
        return
    try:
        yield
    finally:
        for one, handler in old.items():
            signal.signal(one, handler)
