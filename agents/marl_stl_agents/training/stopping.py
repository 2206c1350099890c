"""Signals of the terminal: the first one lets a training end well."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Protocol


class Stopped(Protocol):
    """What looks now and then whether it is to stop."""

    stop: bool


@dataclass
class StopFlag:
    """Turned on by :func:`stopped_by_signals`."""

    stop: bool = False


@contextmanager
def stopped_by_signals(callback: Stopped) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM stop the training after its iteration; the second kills."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        callback.stop = True
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
