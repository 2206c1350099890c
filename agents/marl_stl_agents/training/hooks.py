"""What a user adds to a training: SB3 callbacks and loggers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from stable_baselines3.common.callbacks import BaseCallback, ConvertCallback
from stable_baselines3.common.logger import KVWriter

from marl_stl_agents.diagnostics.log import LOGGERS, LoggerLike, check_loggers
from marl_stl_env.errors import ConfigError

#: What SB3 takes as a callback: an object, or a function of locals and globals.
CallbackLike: TypeAlias = BaseCallback | Callable[[dict[str, Any], dict[str, Any]], bool]


@dataclass(frozen=True)
class Hooks:
    """Callbacks and loggers of one training; runs do not record them.

    Attributes:
        callbacks: Run beside the project's own. One that returns False ends the training, which
            is then evaluated as it stands.
        loggers: "csv", "tensorboard", "stdout", and writers of one's own.
    """

    callbacks: tuple[BaseCallback, ...] = ()
    loggers: tuple[LoggerLike, ...] = LOGGERS

    @classmethod
    def of(
        cls,
        callbacks: CallbackLike | Sequence[CallbackLike],
        loggers: LoggerLike | Sequence[LoggerLike],
        backend: str,
    ) -> Hooks:
        """Hooks from what a user gave.

        Raises:
            ConfigError: If one is neither a callback nor a logger, or the backend takes none.
        """
        several = callbacks if isinstance(callbacks, Sequence) else [callbacks]
        writers = [loggers] if isinstance(loggers, str | KVWriter) else loggers
        hooks = cls(tuple(_callback(one) for one in several), check_loggers(writers))
        if backend == "rllib" and hooks.callbacks:
            raise ConfigError(
                "callbacks with backend='rllib': RLlib takes no callbacks of SB3; use "
                "backend='native' or 'supersuit'"
            )
        return hooks


def _callback(given: CallbackLike) -> BaseCallback:
    if isinstance(given, BaseCallback):
        return given
    if not callable(given):
        raise ConfigError(
            f"callbacks has {given!r}; give instances of SB3's BaseCallback, or functions of "
            "(locals, globals) that return whether to go on"
        )
    return ConvertCallback(given)
