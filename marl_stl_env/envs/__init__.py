"""Thin views of the engine for the libraries people use.

``envs.base``, ``envs.sb3`` and ``envs.supersuit`` need Stable-Baselines3; each is loaded on first
use.
"""

from importlib import import_module
from types import ModuleType

_ON_FIRST_USE = ("base", "sb3", "supersuit")


def __getattr__(name: str) -> ModuleType:
    if name in _ON_FIRST_USE:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
