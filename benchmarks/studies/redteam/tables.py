"""The tables of the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import t

#: The two teams of a run.
KINDS = ("plain", "trained in turns")
#: The attackers that a team meets; the last one was trained against it.
ATTACKS = ("undisguised", "random", "greedy", "mixture", "response")
Runs = Mapping[str, Sequence[Mapping[str, Any]]]


def of_response(attacks: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the best response of a run did."""
    name = next(one for one in attacks if one.startswith("response_"))
    found: Mapping[str, Any] = attacks[name]
    return found


def values(runs: Sequence[Mapping[str, Any]], kind: str, attack: str, key: str) -> list[float]:
    """One figure of every seed."""
    found = []
    for one in runs:
        attacks = one[kind]["attacks"]
        if attack != "response" and attack not in attacks:
            continue
        found.append((of_response(attacks) if attack == "response" else attacks[attack])[key])
    return found


def interval(numbers: Sequence[float]) -> str:
    """Mean and half of the 95 % interval (Student's t) over seeds."""
    if not numbers:
        return ""
    mean = float(np.mean(numbers))
    if len(numbers) < 2:
        return f"{mean:.3f}"
    half = t.ppf(0.975, len(numbers) - 1) * np.std(numbers, ddof=1) / np.sqrt(len(numbers))
    return f"{mean:.3f} ± {half:.3f}"


def summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Figures of every seed, as JSON has them."""
    keys = ("normalized_score", "kept", "recall", "cost_per_attack", "gain_per_attack")
    return {
        "seeds": [one["seed"] for one in runs],
        "cpu_seconds": [round(one["cpu_seconds"], 1) for one in runs],
        **{
            kind: {
                attack: {key: values(runs, kind, attack, key) for key in keys}
                for attack in ATTACKS
                if values(runs, kind, attack, "kept")
            }
            for kind in KINDS
        },
    }


def summary_table(found: Runs) -> list[str]:
    """Score without disguises, and what best responses take."""
    lines = [
        "| game | seeds | team | score without disguises | lost to a trained best response "
        "| lost to greedy evasion |",
        "|---|---|---|---|---|---|",
    ]
    for name, runs in found.items():
        for kind in KINDS:
            lost = [
                interval([1.0 - kept for kept in values(runs, kind, attack, "kept")])
                for attack in ("response", "greedy")
            ]
            score = interval(values(runs, kind, "undisguised", "normalized_score"))
            lines.append(f"| {name} | {len(runs)} | {kind} | {score} | {lost[0]} | {lost[1]} |")
    return lines


def attack_table(found: Runs) -> list[str]:
    """The share of attacks that were stopped, by attacker."""
    lines = [
        f"| game | team | {' | '.join(ATTACKS)} | cost to the response |",
        f"|---|---|{'---|' * len(ATTACKS)}---|",
    ]
    for name, runs in found.items():
        for kind in KINDS:
            recalls = [interval(values(runs, kind, attack, "recall")) for attack in ATTACKS]
            cost = interval(values(runs, kind, "response", "cost_per_attack"))
            lines.append(f"| {name} | {kind} | {' | '.join(recalls)} | {cost} |")
    return lines


def column_table(found: Runs, most: int = 4) -> list[str]:
    """What best responses moved most, as the share of the room of each column."""
    lines = ["| game | team | columns moved most |", "|---|---|---|"]
    for name, runs in found.items():
        for kind in KINDS:
            moved: dict[str, float] = {}
            for one in runs:
                for column, share in of_response(one[kind]["attacks"])["columns"].items():
                    moved[column] = moved.get(column, 0.0) + share / len(runs)
            best = sorted(moved, key=lambda column: -moved[column])[:most]
            shown = ", ".join(f"{column} {moved[column]:.0%}" for column in best)
            lines.append(f"| {name} | {kind} | {shown} |")
    return lines


def response_table(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What several best responses take from the same team."""
    lines = ["| game | team | lost to a best response | 95 % interval |", "|---|---|---|---|"]
    for name, one in found.items():
        for kind in KINDS:
            lost = one[kind]
            low, high = lost["lost_low"], lost["lost_high"]
            lines.append(f"| {name} | {kind} | {lost['lost']:.3f} | {low:.3f} to {high:.3f} |")
    return lines


def yardstick_table(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What exact posteriors lose to exact best responses."""
    lines = [
        "| game | the team | score without disguises | against the exact best response | lost |",
        "|---|---|---|---|---|",
    ]
    for name, teams in found.items():
        for team, one in teams.items():
            figures = (one["undisguised"], one["best response"], one["lost"])
            shown = " | ".join(f"{figure:.3f}" for figure in figures)
            lines.append(f"| {name} | {team} | {shown} |")
    return lines


def unmet_table(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Shares of the score that greedy evasion leaves, by the number of disguises fitted."""
    counts = next((list(one[KINDS[0]]) for one in found.values()), [])
    lines = [
        f"| game | team | {' | '.join(f'{count} disguises' for count in counts)} |",
        f"|---|---|{'---|' * len(counts)}",
    ]
    for name, one in found.items():
        for kind in KINDS:
            kept = (f"{one[kind][count]['kept']:.3f}" for count in counts)
            lines.append(f"| {name} | {kind} | {' | '.join(kept)} |")
    return lines
