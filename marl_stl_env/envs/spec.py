"""The ``EnvSpec`` that Gymnasium gives an environment, kept so that JSON can carry it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from gymnasium.envs.registration import EnvSpec

from marl_stl_env.config import EnvConfig

#: A table is no setting, and JSON cannot carry one.
_TABLE = "table"
_LIMIT = "max_episode_steps"


class HasPlainSpec:
    """Keeps the keyword arguments of its ``spec`` as plain mappings, lists, texts and numbers.

    ``gymnasium.make(EnvSpec.from_json(env.spec.to_json()))`` then rebuilds the environment, unless
    it was made with ``table=``. ``spec.max_episode_steps`` is the episode's length, whichever
    argument it came from.
    """

    config: EnvConfig
    _spec: EnvSpec | None = None

    @property
    def spec(self) -> EnvSpec | None:
        """How Gymnasium made this environment; None where it did not."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        if spec is None:
            self._spec = None
            return
        kwargs = {n: v if n == _TABLE else as_plain(v) for n, v in spec.kwargs.items()}
        kwargs.pop(_LIMIT, None)  # make_vec leaves it there; libraries look at the field
        self._spec = replace(spec, kwargs=kwargs, max_episode_steps=self.config.episode_length)


def as_plain(value: Any) -> Any:
    """A setting as JSON has it: configurations become mappings, paths texts, tuples lists."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: as_plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {name: as_plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain(part) for part in value]
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, Path) else value
