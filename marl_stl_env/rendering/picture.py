"""The last events of a lane as a picture: actions, decision, truth and reward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from marl_stl_env.rendering.frame import SILENCE, Frame
from marl_stl_env.types import Action

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Events shown at once.
SPAN = 60
_SIZE, _DPI = (9.0, 5.0), 100
# Okabe and Ito's colours, which colour-blind people can tell apart.
_COLOURS = {
    Action.ALLOW.name: "#56B4E9",
    Action.BLOCK.name: "#E69F00",
    Action.QUARANTINE.name: "#CC79A7",
    Action.ALERT.name: "#F0E442",
    SILENCE: "#FFFFFF",
}
_TRUTH = {True: "#D55E00", False: "#BBBBBB"}


@dataclass(frozen=True)
class Rows:
    """What a timeline has rows for, whether or not anything happened yet.

    Attributes:
        sensors: Number of sensors.
        specs: Names of the monitored specifications.
    """

    sensors: int
    specs: tuple[str, ...]


def draw(figure: Figure, rows: Rows, frames: Sequence[Frame]) -> None:
    """Draw the timeline anew.

    Args:
        figure: Emptied and drawn on.
        rows: What the timeline has rows for.
        frames: The evaluated events, oldest first; none gives the empty timeline.
    """
    figure.clear()
    heights = [rows.sensors + 2, 2, 2][: 3 if rows.specs else 2]
    axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    steps = [frame.step for frame in frames]
    _draw_votes(axes[0], rows.sensors, steps, frames)
    axes[1].plot(steps, np.cumsum([frame.reward for frame in frames]), color="#0072B2")
    axes[1].set_ylabel("reward,\nsummed")
    if rows.specs:
        for name in rows.specs:
            axes[2].plot(steps, [frame.left[name] for frame in frames], label=name)
        axes[2].axhline(0, color="black", linewidth=0.8)
        axes[2].set_ylim(-1.1, 1.1)
        axes[2].set_ylabel("left of\nspecs")
        axes[2].legend(loc="lower left", ncols=3, fontsize=7)
    last = steps[-1] if steps else 0
    axes[-1].set_xlabel("event of the episode")
    axes[-1].set_xlim(last - SPAN + 0.5, last + 0.5)


def _draw_votes(axis: object, sensors: int, steps: Sequence[int], frames: Sequence[Frame]) -> None:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch

    if not isinstance(axis, Axes):
        raise TypeError(f"votes are drawn on axes, not on {axis!r}")
    rows = [*(f"sensor_{i}" for i in range(sensors)), "decision", "truth"]
    for frame, step in zip(frames, steps, strict=True):
        cells = [_COLOURS[action] for action in (*frame.actions, frame.decision)]
        cells.append(_TRUTH[frame.threat])
        axis.bar(step, 0.9, bottom=np.arange(len(rows)) - 0.45, width=0.9, color=cells)
        if not frame.right:
            axis.text(step, len(rows) - 2, "x", ha="center", va="center", fontsize=8)
    axis.set_yticks(range(len(rows)), rows)
    axis.set_ylim(-0.5, len(rows) - 0.5)
    axis.invert_yaxis()
    keys = [Patch(color=colour, label=name.lower()) for name, colour in _COLOURS.items()]
    keys[-1].set_edgecolor("black")
    keys += [Patch(color=_TRUTH[True], label="threat"), Patch(color=_TRUTH[False], label="benign")]
    axis.legend(handles=keys, loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=7, fontsize=7)


def as_pixels(rows: Rows, frames: Sequence[Frame]) -> NDArray[np.uint8]:
    """The timeline as pixels.

    Args:
        rows: What the timeline has rows for.
        frames: The evaluated events, oldest first; none gives the empty timeline.

    Returns:
        Red, green and blue.  # (height, width, 3) uint8
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)  # matplotlib gives its drawing no types
    draw(figure, rows, frames)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba(), np.uint8)[:, :, :3].copy()
