"""Follows one lane of an engine and shows it in the mode asked for."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from marl_stl_env.engine.engine import Engine
from marl_stl_env.errors import ResetNeededError, UnknownNameError
from marl_stl_env.rendering.frame import Event, Frame, read_event, read_frame, spec_names
from marl_stl_env.rendering.picture import SPAN, Rows, as_pixels, draw
from marl_stl_env.rendering.text import as_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RENDER_MODES = ("ansi", "rgb_array", "human")
#: Events per second of a video.
RENDER_FPS = 4


class Renderer:
    """What ``render()`` shows, by Gymnasium's conventions.

    "ansi" gives the last event as text, "rgb_array" the timeline of the last 60 events as pixels,
    and "human" draws that timeline in a window after every reset and step, without being asked.
    Right after a reset the text is of the event to come and the timeline is empty.

    Args:
        engine: The engine; nothing in it changes.
        mode: One of :data:`RENDER_MODES`.
        lane: The lane to show.

    Raises:
        UnknownNameError: If there is no such mode.
    """

    def __init__(self, engine: Engine, mode: str, lane: int = 0) -> None:
        if not isinstance(mode, str) or mode not in RENDER_MODES:
            raise UnknownNameError("render_mode", mode, [*RENDER_MODES, "None"])
        self._engine, self._mode, self._lane = engine, mode, lane
        self._rows = Rows(engine.agents, spec_names(engine))
        self._frames: deque[Frame] = deque(maxlen=SPAN)
        self._first: Event | None = None
        self._steps = 0
        self._window: Figure | None = None

    def reset(self, step: int = 0) -> None:
        """An episode begins, or goes on after a restored state at this step."""
        self._frames.clear()
        self._steps = step
        self._first = read_event(self._engine, self._lane, step)
        if self._mode == "human":
            self._show()

    def step(self) -> None:
        """An event was evaluated, or a proposal made."""
        frame = read_frame(self._engine, self._lane, self._steps)
        if frame is None:
            return
        self._frames.append(frame)
        self._steps += 1
        if self._mode == "human":
            self._show()

    def render(self) -> str | NDArray[np.uint8] | None:
        """Text, pixels (height, width, 3) uint8, or None where there is a window.

        Raises:
            ResetNeededError: Before the first reset.
        """
        if self._first is None:
            raise ResetNeededError("there is nothing to show yet; call reset() before render()")
        if self._mode == "ansi":
            return as_text(self._frames[-1] if self._frames else self._first)
        return as_pixels(self._rows, self._frames) if self._mode == "rgb_array" else None

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            _pyplot().close(self._window)
            self._window = None

    def _show(self) -> None:
        pyplot = _pyplot()
        if self._window is None:
            self._window = pyplot.figure(figsize=(9.0, 5.0), layout="constrained")
        draw(self._window, self._rows, self._frames)
        pyplot.pause(0.001)


def _pyplot() -> Any:
    from matplotlib import pyplot

    return pyplot
