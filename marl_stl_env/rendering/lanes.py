"""Shows several lanes of one engine side by side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marl_stl_env.engine.engine import Engine
from marl_stl_env.rendering.renderer import Renderer
from marl_stl_env.types import BoolArray


class LaneRenderers:
    """One :class:`~marl_stl_env.rendering.Renderer` for each of the first lanes.

    Args:
        engine: The engine; nothing in it changes.
        mode: "ansi", "rgb_array", or "human", which opens a window of the first lane alone.
        lanes: How many lanes to show.

    Raises:
        UnknownNameError: If there is no such mode.
    """

    def __init__(self, engine: Engine, mode: str, lanes: int) -> None:
        lanes = 1 if isinstance(mode, str) and mode == "human" else lanes
        self._renderers = [Renderer(engine, mode, lane) for lane in range(lanes)]

    def reset(self, mask: BoolArray | None = None) -> None:
        """An episode begins in the masked lanes (in all without a mask).  # (lanes,) bool."""
        for renderer in self._chosen(mask):
            renderer.reset()

    def step(self, mask: BoolArray | None = None) -> None:
        """An event was evaluated in the masked lanes (in all without a mask).  # (lanes,) bool."""
        for renderer in self._chosen(mask):
            renderer.step()

    def render(self) -> tuple[str | NDArray[np.uint8] | None, ...]:
        """Text or pixels (height, width, 3) uint8 of each lane; None of one with a window.

        Raises:
            ResetNeededError: Before the first reset.
        """
        return tuple(renderer.render() for renderer in self._renderers)

    def close(self) -> None:
        """Close the window, if there is one."""
        for renderer in self._renderers:
            renderer.close()

    def _chosen(self, mask: BoolArray | None) -> list[Renderer]:
        if mask is None:
            return self._renderers
        return [one for one, chosen in zip(self._renderers, mask, strict=False) if chosen]
