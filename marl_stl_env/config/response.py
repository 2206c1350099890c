"""The response to an event, and the specifications."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from marl_stl_env.config.shown import ShowsChanges
from marl_stl_env.config.texts import as_settings
from marl_stl_env.errors import ConfigError
from marl_stl_env.validation import check_range, check_types

#: Entities met within this many steps are present.
PRESENCE = 64


#: No name has these: a formula has, whose comparison may hold the first "=".
_OF_FORMULAS = frozenset("<>!()[]")


@dataclass(frozen=True, repr=False)
class ResponseConfig(ShowsChanges):
    """What actions change in ``TrafficResponse-v0``; times are steps of the lane.

    Attributes:
        quarantine_length: Steps for which a Quarantine isolates the event's entity.
        alert_budget: Alerts that the analyst takes on in any ``alert_window`` steps.
        alert_window: Steps over which the budget counts.
        alert_delay: Steps from an alert to the analyst's verdict on the entity.
        verdict_length: Steps for which a verdict is shown.
    """

    quarantine_length: int = 10
    alert_budget: int = 4
    alert_window: int = 64
    alert_delay: int = 4
    verdict_length: int = 256

    def __post_init__(self) -> None:
        check_types(self)
        for item in fields(self):
            lowest = 0 if item.name == "alert_budget" else 1
            check_range(item.name, getattr(self, item.name), lowest, 10**6)


@dataclass(frozen=True, repr=False)
class StlConfig(ShowsChanges):
    """Which specifications are watched.

    Attributes:
        monitor: Watch them in every lane: costs in infos and records, nothing in observations.
        shield: Mask the actions that could break those among them that a shield can enforce; see
            :func:`~marl_stl_env.stl.enforcement.classify`.
        observe: Also show every sensor how much of each specification is left, in [-1, 1].
        specs: The specifications, each a text ``name=formula``, such as
            ``quiet=G (false_alarms_64 <= 3)``; none takes the default set of the dynamics. Python
            also takes a mapping.
        posture_window: Steps over which the default specification "posture" counts errors.
    """

    monitor: bool = True
    observe: bool = False
    specs: tuple[str, ...] = ()
    posture_window: int = 64
    shield: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.specs, Mapping):
            object.__setattr__(self, "specs", as_settings("specs", self.specs))
        check_types(self)
        check_range("posture_window", self.posture_window, 1, 10**6)
        for text in self.specs:
            name, _, formula = text.partition("=")
            unnamed = not name.strip() or bool(_OF_FORMULAS & set(name))
            if unnamed or not formula or formula.startswith("="):
                raise ConfigError(
                    f"specs holds {text!r}: write every specification as name=formula, such as "
                    "'calm=G (false_alarms_64 <= 8)'"
                )
        if self.observe and not self.monitor:
            raise ConfigError("observe=True shows what monitor=True watches: set both")
