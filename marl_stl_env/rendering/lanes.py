"""Shows several lanes of one engine side by side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marl_stl_env.engine.engine import Engine
from marl_stl_env.errors import ConfigError
from marl_stl_env.rendering.renderer import Renderer
from marl_stl_env.types import BoolArray

#: What vectors can show: a window shows one lane.
LANE_MODES = ("ansi", "rgb_array")


class LaneRenderers:
    """One :class:`~marl_stl_env.rendering.Renderer` for each of the first lanes.

    Args:
        engine: The engine; nothing in it changes.
        mode: "ansi" or "rgb_array".
        lanes: How many lanes to show.

    Raises:
        ConfigError: If the mode is "human".
        UnknownNameError: If there is no such mode.
    """

    def __init__(self, engine: Engine, mode: str, lanes: int) -> None:
        if isinstance(mode, str) and mode == "human":
            raise ConfigError(
                "render_mode='human' opens a window for one lane, and this environment has many: "
                "use render_mode='rgb_array' and show what render() returns, or a single "
                "environment (gymnasium.make, marl_stl_env.parallel_env)"
            )
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
        """Text or pixels (height, width, 3) uint8 of each lane.

        Raises:
            ResetNeededError: Before the first reset.
        """
        return tuple(renderer.render() for renderer in self._renderers)

    def _chosen(self, mask: BoolArray | None) -> list[Renderer]:
        if mask is None:
            return self._renderers
        return [one for one, chosen in zip(self._renderers, mask, strict=False) if chosen]
