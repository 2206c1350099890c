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


def of_responses(attacks: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What the best responses of a run did."""
    return [one for name, one in attacks.items() if name.startswith("response_")]


def values(runs: Sequence[Mapping[str, Any]], kind: str, attack: str, key: str) -> list[float]:
    """One figure of every seed; that of the best responses is their mean."""
    found = []
    for one in runs:
        attacks = one[kind]["attacks"]
        some = of_responses(attacks) if attack == "response" else [attacks.get(attack)]
        if some != [None]:
            found.append(float(np.mean([each[key] for each in some])))
    return found


def interval(numbers: Sequence[float]) -> str:
    """Mean and half of the 95 % interval (Student's t) over seeds."""
    if not numbers:
        return ""
    mean = float(np.mean(numbers))
    if len(numbers) < 2:
        return f"{mean:.3f}"
    return f"{mean:.3f} ±{half_width(numbers):.3f}"


def half_of(exploitability: Mapping[str, float]) -> float:
    """Half of the 95 % interval over the best responses to one team."""
    return (exploitability["lost_high"] - exploitability["lost_low"]) / 2.0


def half_width(numbers: Sequence[float]) -> float:
    """Half of the 95 % interval of a mean: Student's t."""
    spread = np.std(numbers, ddof=1) / np.sqrt(len(numbers))
    return float(t.ppf(0.975, len(numbers) - 1) * spread)


def summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Figures of every seed, as JSON has them."""
    keys = ("normalized_score", "kept", "recall", "cost_per_attack", "gain_per_attack")
    return {
        "seeds": [one["seed"] for one in runs],
        "cpu_seconds": [round(one["cpu_seconds"], 1) for one in runs],
        **{
            kind: {"exploitability": [one[kind]["exploitability"] for one in runs]}
            | {
                attack: {key: values(runs, kind, attack, key) for key in keys}
                for attack in ATTACKS
                if values(runs, kind, attack, "kept")
            }
            for kind in KINDS
        },
    }


def summary_table(found: Runs) -> list[str]:
    """Score without disguises, and what best responses take.

    "Within a team" is half of the widest interval over the best responses to one team.
    """
    lines = [
        "| game | seeds | team | score without disguises | lost to a trained best response "
        "| ± within a team | lost to greedy evasion |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, runs in found.items():
        for kind in KINDS:
            lost = [
                interval([1.0 - kept for kept in values(runs, kind, attack, "kept")])
                for attack in ("response", "greedy")
            ]
            score = interval(values(runs, kind, "undisguised", "normalized_score"))
            within = max(half_of(one[kind]["exploitability"]) for one in runs)
            figures = f"{score} | {lost[0]} | {within:.3f} | {lost[1]}"
            lines.append(f"| {name} | {len(runs)} | {kind} | {figures} |")
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
            responses = [some for one in runs for some in of_responses(one[kind]["attacks"])]
            moved = {
                column: float(np.mean([one["columns"][column] for one in responses]))
                for column in responses[0]["columns"]
            }
            best = sorted(moved, key=lambda column: -moved[column])[:most]
            shown = ", ".join(f"{column} {moved[column]:.0%}" for column in best)
            lines.append(f"| {name} | {kind} | {shown} |")
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


def unmet_summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What greedy evasion with other disguises leaves of every seed's score, as JSON has it."""
    return {
        kind: {count: [one[kind][count]["kept"] for one in runs] for count in runs[0][kind]}
        for kind in KINDS
    }


def unmet_table(found: Runs, exact: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Shares of the score that greedy evasion leaves, by the number of disguises fitted.

    Args:
        found: Game to what is left of the teams of each seed.
        exact: Game to the exact teams, where they are known.
    """
    counts = next((list(runs[0][KINDS[0]]) for runs in found.values()), [])
    lines = [
        f"| game | team | {' | '.join(f'{count} disguises' for count in counts)} |",
        f"|---|---|{'---|' * len(counts)}",
    ]
    for name, runs in found.items():
        for kind in KINDS:
            kept = (interval([one[kind][count]["kept"] for one in runs]) for count in counts)
            lines.append(f"| {name} | {kind} | {' | '.join(kept)} |")
    for name, teams in exact.items():
        for team, one in teams.items():
            shown = (f"{one['unmet'][count]:.3f}" for count in counts)
            lines.append(f"| {name} | exact, {team} | {' | '.join(shown)} |")
    return lines
