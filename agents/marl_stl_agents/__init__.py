"""Training and evaluation of teams of sensors on the environment.

::

    run = train(TrainConfig(backend="native", iterations=12))  # writes a run directory
    print(evaluate(run).result.decision.f1)  # on the test split
    decisions = run.team().decide(frame)  # a pandas DataFrame of new events

``load_team(path)`` brings the team of an earlier run back.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from marl_stl_agents.api import Run, evaluate, train
    from marl_stl_agents.config import EvaluateConfig, PPOConfig, TrainConfig
    from marl_stl_agents.evaluation.new_traffic import Team, TeamStream, load_team

__all__ = [
    "EvaluateConfig",
    "PPOConfig",
    "Run",
    "Team",
    "TeamStream",
    "TrainConfig",
    "evaluate",
    "load_team",
    "train",
]

#: Imported when they are asked for: they bring torch along.
_PLACES = {
    **dict.fromkeys(("Run", "evaluate", "train"), "api"),
    **dict.fromkeys(("EvaluateConfig", "PPOConfig", "TrainConfig"), "config"),
    **dict.fromkeys(("Team", "TeamStream", "load_team"), "evaluation.new_traffic"),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
