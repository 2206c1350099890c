"""What attackers can do to a team, as a table in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from marl_stl_agents.console.output import say, show

_COLUMNS = {
    "reward_per_event": "reward per event",
    "normalized_score": "score",
    "kept": "kept",
    "recall": "recall",
    "disguised": "disguised",
    "gain_per_attack": "gain per attack",
    "cost_per_attack": "cost per attack",
}
#: Columns of a data set that are named as what an attacker moved most.
_NAMED = 3


def show_attacks(result: Mapping[str, Any]) -> None:
    """Print the content of ``attacks.json``."""
    table = Table(title=f"the team against attackers, {result['split']} split")
    table.add_column("attacker")
    for name in _COLUMNS.values():
        table.add_column(name, justify="right")
    for attacker, metrics in result["attacks"].items():
        table.add_row(attacker, *(f"{metrics[key]:.3f}" for key in _COLUMNS))
    show(table)
    for line in sentences(result):
        say(line)


def sentences(result: Mapping[str, Any]) -> list[str]:
    """What the table means, in sentences."""
    found = result["exploitability"]
    interval = ""
    if "lost_low" in found:
        interval = f" (95 % interval {found['lost_low']:.1%} to {found['lost_high']:.1%})"
    score = found["normalized_score"]
    lines = [
        f"a best response takes {found['lost']:.1%}{interval} of the team's normalised score of "
        f"{score:.3f} without disguises"
        if score > 0.0
        else f"without disguises the team's normalised score is {score:.3f}, which is not above "
        "the best constant policy: a best response takes nothing from it"
    ]
    responses = [name for name in result["attacks"] if name.startswith("response_")]
    if responses:
        columns = result["attacks"][responses[0]]["columns"]
        most = sorted(columns, key=lambda name: -columns[name])[:_NAMED]
        moved = ", ".join(f"{name} ({columns[name]:.0%} of its room)" for name in most)
        lines.append(f"{responses[0]} moves most: {moved}")
    return lines
