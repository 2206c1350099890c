"""What a training against attackers left in a run directory, for the report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marl_stl_agents.console.redteam import sentences
from marl_stl_agents.redteam.result import REPLAY, RESULT
from marl_stl_agents.run_directory import read_json
from marl_stl_env.errors import RunError

#: Disguised attacks that a page shows.
_SHOWN = 12


@dataclass(frozen=True)
class Attacked:
    """A team against attackers.

    Attributes:
        split: The split that was evaluated.
        attacks: Attacker to its metrics.
        sentences: What they mean.
        replay: Attacks that came in a disguise.
    """

    split: str
    attacks: dict[str, dict[str, Any]]
    sentences: list[str]
    replay: list[dict[str, Any]]


def read_attacks(run: Path) -> Attacked | None:
    """What ``attacks.json`` and ``disguised.json`` of a run say; None where there are none.

    Raises:
        RunError: If they are damaged.
    """
    if not (run / RESULT).is_file():
        return None
    result, replay = read_json(run / RESULT), read_json(run / REPLAY)
    try:
        shown = replay["attacks"][:_SHOWN]
        return Attacked(result["split"], result["attacks"], sentences(result), shown)
    except (KeyError, TypeError) as error:
        raise RunError(f"{run / RESULT} does not say how a team was attacked: {error!r}") from None
