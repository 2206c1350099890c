"""The charts of the team: its sensors, faulty ones among them, and its specifications."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from marl_stl_agents.evaluation.baselines import threat_groups
from marl_stl_agents.reporting.figures import (
    BAD,
    FAINT,
    GOOD,
    INK,
    REWARD,
    SERIES,
    TEAM,
    UNKNOWN,
    Chart,
    as_plain,
    best_constant,
    faulty_line,
    new_figure,
    number,
    numbers,
    plain,
    share,
)
from marl_stl_env.consensus.correlation import error_correlations
from marl_stl_env.types import Float32Array, Float64Array

if TYPE_CHECKING:
    from marl_stl_agents.evaluation.evaluation import Evaluation

_STEPS = 20


def sensor_chart(evaluated: Evaluation) -> Chart:
    """What each sensor would earn alone."""
    from plotly import graph_objects as go

    result, replicated = evaluated.result, evaluated.result["replicated"]
    groups = threat_groups(evaluated.env, evaluated.prepared)
    agents, decided = result["agents"], result["decision"]["reward_per_event"]
    names = [name.removeprefix("sensor_") for name in agents]
    rewards = [one["reward_per_event"] for one in agents.values()]
    figure = new_figure("sensor", REWARD, height=320)
    figure.add_trace(
        go.Bar(
            x=names,
            y=rewards,
            marker={"color": FAINT},
            customdata=[", ".join(group) for group in groups],
            hovertemplate="sensor %{x}, which sees %{customdata}: %{y:.4f}<extra></extra>",
        )
    )
    figure.update_xaxes(type="category")
    figure.update_yaxes(zeroline=True)
    figure.add_hline(decided, line={"color": TEAM, "width": 2})
    rows = [
        (name, ", ".join(group), *(number(one[key]) for key in ("precision", "recall", "f1")),
         number(one["reward_per_event"]))
        for name, group, one in zip(names, groups, agents.values(), strict=True)
    ]  # fmt: skip
    word = "more" if decided > max(rewards) else "no more"
    summary = (
        f"Alone the sensors would earn {number(min(rewards))} to {number(max(rewards))} per event; "
        f"together they earn {number(decided)} (line), {word} than the best of them. Control: the "
        f"same vote of copies of {replicated['sensor'].replace('_', ' ')} earns "
        f"{number(replicated['reward_per_event'])} (F1 {number(replicated['f1'])})."
    )
    columns = ("sensor", "sees", "precision", "recall", "F1", REWARD)
    return Chart("sensors", "Each sensor alone", summary, as_plain(figure), columns, rows)


def correlation_chart(evaluated: Evaluation) -> Chart:
    """How far the errors of each pair of sensors go together."""
    from plotly import graph_objects as go

    matrix = error_correlations(evaluated.rollout.votes, evaluated.table.labels)
    cells = [numbers(row, 4) for row in matrix]
    names = [str(sensor) for sensor in range(len(matrix))]
    shown = [["" if cell is None else number(cell, 2) for cell in row] for row in cells]
    few = len(matrix) <= 8
    figure = new_figure("sensor", "sensor", height=380 if few else 460)
    figure.add_trace(
        go.Heatmap(
            z=cells,
            x=names,
            y=names,
            zmin=-1,
            zmax=1,
            xgap=2,
            ygap=2,
            colorscale=[[0, "var(--cold)"], [0.5, "var(--paper)"], [1, "var(--hot)"]],
            text=shown,
            texttemplate="%{text}" if few else None,
            colorbar={"thickness": 10, "outlinewidth": 0, "len": 0.9},
            hovertemplate="sensors %{y} and %{x}: %{text}<extra></extra>",
        )
    )
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    mean = evaluated.result["error_correlation"]
    summary = (
        f"The errors of two sensors correlate by {number(mean, 2)} on average. At 0 a vote "
        "averages errors out; at 1 the sensors are copies of each other and a vote is worth one of "
        "them."
    )
    columns = ("sensor", *names)
    rows = [
        (str(i), *(UNKNOWN if cell is None else number(cell, 2) for cell in row))
        for i, row in enumerate(cells)
    ]
    note = ""
    if np.isnan(matrix).any():
        note = "Sensors without a correlation are always right or always wrong."
    return Chart("correlation", "Errors in common", summary, as_plain(figure), columns, rows, note)


def byzantine_chart(result: dict[str, Any]) -> Chart | None:
    """Reward with faulty sensors in the team; None where it bears none."""
    entries = result["byzantine"]
    if not entries:
        return None
    honest = result["decision"] | {"faulty": 0, "fault": "none"}
    figure = new_figure("faulty sensors", REWARD, height=380)
    for place, fault in enumerate(dict.fromkeys(entry["fault"] for entry in entries)):
        points = [honest, *(entry for entry in entries if entry["fault"] == fault)]
        dash = ("solid", "dash")[place % 2]
        figure.add_trace(faulty_line(plain(fault), points, SERIES[place % len(SERIES)], dash))
    constant, most = best_constant(result), max(entry["faulty"] for entry in entries)
    figure.add_hline(constant, line={"color": INK, "width": 1, "dash": "dot"})
    figure.update_xaxes(tickmode="linear", dtick=1, range=[-0.1, most + 0.1])
    worst = min(entries, key=lambda entry: float(entry["reward_per_event"]))
    summary = (
        f"Honest, the team earns {number(honest['reward_per_event'])}. At worst, with "
        f"{worst['faulty']} faulty ({plain(worst['fault'])}), "
        f"{number(worst['reward_per_event'])} and F1 {number(worst['f1'])}; the better constant "
        f"policy earns {number(constant)} (dotted)."
    )
    rows = [
        (
            plain(one["fault"]),
            str(one["faulty"]),
            *(number(one[key]) for key in ("reward_per_event", "f1", "recall")),
        )
        for one in [honest, *entries]
    ]
    columns = ("fault", "faulty sensors", REWARD, "F1", "recall")
    return Chart("byzantine", "With faulty sensors", summary, as_plain(figure), columns, rows)


def robustness_charts(evaluated: Evaluation) -> list[Chart]:
    """How each specification's robustness is spread over the certified episodes."""
    if evaluated.watched is None:
        return []
    return [
        _robustness_chart(f"robustness-{place}", name, robustness, evaluated.result["stl"][name])
        for place, (name, (_, robustness)) in enumerate(evaluated.watched.by_name().items())
    ]


def _robustness_chart(
    name: str, spec: str, robustness: Float32Array, figures: dict[str, Any]
) -> Chart:
    from plotly import graph_objects as go

    known = robustness[np.isfinite(robustness)].astype(np.float64)
    counts, edges = np.histogram(known, bins=_edges(known))
    colours = [BAD if edge < 0 else GOOD for edge in edges[:-1].tolist()]
    figure = new_figure("robustness", "episodes", height=200)
    figure.add_trace(
        go.Bar(
            x=numbers((edges[:-1] + edges[1:]) / 2),
            y=counts.tolist(),
            width=numbers(np.diff(edges)),
            marker={"color": colours, "line": {"color": "var(--paper)", "width": 1}},
            hovertemplate="about %{x:.3g}: %{y} episodes<extra></extra>",
        )
    )
    figure.add_vline(0, line={"color": INK, "width": 1})
    stated = "certified" if figures["certified"] else "not certified"
    summary = (
        f"Kept in {share(figures['satisfied'])} of {figures['episodes']} episodes; {stated}. "
        f"Robustness {number(figures['robustness']['min'])} at the least, "
        f"{number(figures['robustness']['mean'])} on average."
    )
    if len(known) < len(robustness):
        summary += f" In {len(robustness) - len(known)} episodes it never came to count."
    rows = [
        (number(low), number(high), str(count))
        for low, high, count in zip(edges[:-1], edges[1:], counts.tolist(), strict=True)
    ]
    columns = ("from", "below", "episodes")
    return Chart(name, spec, summary, as_plain(figure), columns, rows)


def _edges(values: Float64Array) -> Float64Array:
    """About twenty equal steps over the values, with 0 at one of their ends."""
    if not len(values):
        return np.array([0.0, 1.0])
    low, high = float(values.min()), float(values.max())
    step = (high - low) / _STEPS or max(abs(low), 1.0) / _STEPS
    return np.arange(np.floor(low / step), np.floor(high / step) + 2) * step
