"""Charts of the team: single sensors, faulty sensors and specifications."""

from __future__ import annotations

import numpy as np

from marl_stl_agents.evaluation.baselines import threat_groups
from marl_stl_agents.evaluation.evaluate import Evaluation
from marl_stl_agents.evaluation.result import EvaluationResult, FaultMetrics, Metrics, SpecResult
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
    faulty_line,
    new_figure,
    number,
    numbers,
    share,
)
from marl_stl_env.consensus.correlation import error_correlations
from marl_stl_env.types import Float32Array, Float64Array

_STEPS = 20


def sensor_chart(evaluated: Evaluation) -> Chart:
    """Reward of each sensor's own actions."""
    from plotly import graph_objects as go

    result, control = evaluated.result, evaluated.result.replicated
    groups = threat_groups(evaluated.env, evaluated.prepared)
    agents, decided = result.agents, result.decision.reward_per_event
    names = [name.removeprefix("sensor_") for name in agents]
    rewards = [one.reward_per_event for one in agents.values()]
    figure = new_figure("sensor", REWARD, height=320)
    figure.add_trace(
        go.Bar(
            x=names,
            y=rewards,
            marker={"color": FAINT},
            customdata=[", ".join(group) for group in groups],
            hovertemplate="sensor %{x}, views: %{customdata}: %{y:.4f}<extra></extra>",
        )
    )
    figure.update_xaxes(type="category")
    figure.update_yaxes(zeroline=True)
    figure.add_hline(decided, line={"color": TEAM, "width": 2})
    rows = [
        (name, ", ".join(group), number(one.precision), number(one.recall),
         number(one.f1), number(one.reward_per_event))
        for name, group, one in zip(names, groups, agents.values(), strict=True)
    ]  # fmt: skip
    word = "more" if decided > max(rewards) else "no more"
    summary = (
        f"Mean reward per event: single sensors {number(min(rewards))} to "
        f"{number(max(rewards))}, the team {number(decided)} (line), {word} than the best sensor."
    )
    if control is not None:
        summary += (
            f" Replicated-sensor control: copies of {control.sensor} under the same vote reach "
            f"{number(control.reward_per_event)} (F1 {number(control.f1)})."
        )
    columns = ("sensor", "views", "precision", "recall", "F1", REWARD)
    return Chart("sensors", "Each sensor alone", summary, as_plain(figure), columns, rows)


def correlation_chart(evaluated: Evaluation) -> Chart:
    """Correlation of the errors of each pair of sensors."""
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
    mean = evaluated.result.error_correlation
    summary = (
        f"Mean error correlation of two sensors: {number(mean, 2)}. At 0 errors are uncorrelated "
        "and a vote averages them out; at 1 all sensors err together and a vote adds nothing."
    )
    columns = ("sensor", *names)
    rows = [
        (str(i), *(UNKNOWN if cell is None else number(cell, 2) for cell in row))
        for i, row in enumerate(cells)
    ]
    note = ""
    if np.isnan(matrix).any():
        note = "A sensor that is always right or always wrong has no correlation."
    return Chart("correlation", "Error correlation", summary, as_plain(figure), columns, rows, note)


def byzantine_chart(result: EvaluationResult) -> Chart | None:
    """Reward with faulty sensors in the team; None if it tolerates none."""
    entries, worst, honest = result.byzantine, result.worst_fault, result.decision
    if worst is None:
        return None
    figure = new_figure("faulty sensors", REWARD, height=380)
    for place, fault in enumerate(dict.fromkeys(entry.fault for entry in entries)):
        points = [entry for entry in entries if entry.fault == fault]
        dash = ("solid", "dash")[place % 2]
        colour = SERIES[place % len(SERIES)]
        figure.add_trace(faulty_line(fault, honest.reward_per_event, points, colour, dash))
    constant, most = result.best_constant, max(entry.faulty for entry in entries)
    figure.add_hline(constant, line={"color": INK, "width": 1, "dash": "dot"})
    figure.update_xaxes(tickmode="linear", dtick=1, range=[-0.1, most + 0.1])
    summary = (
        f"Mean reward per event: {number(honest.reward_per_event)} without faults. Worst case: "
        f"{number(worst.reward_per_event)} (F1 {number(worst.f1)}) with {worst.faulty} faulty, "
        f"fault {worst.fault}. Best constant policy: {number(constant)} (dotted)."
    )
    shown: list[tuple[str, int, Metrics | FaultMetrics]] = [("none", 0, honest)]
    shown += [(entry.fault, entry.faulty, entry) for entry in entries]
    rows = [
        (fault, str(count), number(one.reward_per_event), number(one.f1), number(one.recall))
        for fault, count, one in shown
    ]
    columns = ("fault", "faulty sensors", REWARD, "F1", "recall")
    return Chart("byzantine", "With faulty sensors", summary, as_plain(figure), columns, rows)


def robustness_charts(evaluated: Evaluation) -> list[Chart]:
    """Distribution of each specification's robustness over the certified episodes."""
    if evaluated.watched is None:
        return []
    return [
        _robustness_chart(f"robustness-{place}", name, robustness, evaluated.result.stl[name])
        for place, (name, (_, robustness)) in enumerate(evaluated.watched.by_name().items())
    ]


def _robustness_chart(name: str, spec: str, robustness: Float32Array, result: SpecResult) -> Chart:
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
    stated = "certified" if result.certified else "not certified"
    summary = (
        f"Satisfied in {share(result.satisfied)} of {result.episodes} episodes; {stated}. "
        f"Robustness: least {number(result.robustness.min)}, mean "
        f"{number(result.robustness.mean)}."
    )
    if len(known) < len(robustness):
        summary += f" {len(robustness) - len(known)} episodes ended before it applied."
    rows = [
        (number(low), number(high), str(count))
        for low, high, count in zip(edges[:-1], edges[1:], counts.tolist(), strict=True)
    ]
    columns = ("from", "below", "episodes")
    return Chart(name, spec, summary, as_plain(figure), columns, rows)


def _edges(values: Float64Array) -> Float64Array:
    """Edges of about twenty equal bins over the values, with 0 among the edges."""
    if not len(values):
        return np.array([0.0, 1.0])
    low, high = float(values.min()), float(values.max())
    step = (high - low) / _STEPS or max(abs(low), 1.0) / _STEPS
    return np.arange(np.floor(low / step), np.floor(high / step) + 2) * step
