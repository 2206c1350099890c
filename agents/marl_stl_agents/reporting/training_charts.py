"""Training curves of one run, or of several runs in the same charts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from marl_stl_agents.console.tables import CURVES, read_progress
from marl_stl_agents.reporting.figures import (
    RUN_COLOURS,
    Chart,
    as_plain,
    new_figure,
    number,
    numbers,
    thinned,
)

if TYPE_CHECKING:
    import pandas as pd

_POINTS = 400
_ROWS = 25


def training_charts(runs: Mapping[str, Path]) -> list[Chart]:
    """Charts of the training logs; none if no run has a log.

    Args:
        runs: Name of each run to its directory.
    """
    logs = {
        name: read_progress(run) for name, run in runs.items() if (run / "progress.csv").is_file()
    }
    charts = [
        _chart(f"training-{place}", title, column, logs)
        for place, (column, title) in enumerate(CURVES)
    ]
    return [chart for chart in charts if chart is not None]


def _chart(name: str, title: str, column: str, logs: Mapping[str, pd.DataFrame]) -> Chart | None:
    from plotly import graph_objects as go

    known = {
        run: log.loc[log[column].notna(), ["steps", column]]
        for run, log in logs.items()
        if column in log and log[column].notna().any()
    }
    if not known:
        return None
    figure = new_figure("agent-steps", height=240, showlegend=len(known) > 1)
    rows, parts = [], []
    for place, (run, log) in enumerate(known.items()):
        places = thinned(len(log), _POINTS)
        steps, values = (log[name].to_numpy()[places].tolist() for name in ("steps", column))
        figure.add_trace(
            go.Scatter(
                x=steps,
                y=numbers(values),
                mode="lines+markers" if len(steps) < 40 else "lines",
                name=run,
                line={"color": RUN_COLOURS[place % len(RUN_COLOURS)], "width": 2},
                marker={"size": 5},
                hovertemplate="%{x:.3s} agent-steps: %{y:.4f}<extra></extra>",
            )
        )
        rows += [
            (run, f"{int(steps[i]):,}", number(values[i], 4)) for i in thinned(len(steps), _ROWS)
        ]
        whose = f"{run}: from" if len(known) > 1 else "From"
        parts.append(f"{whose} {number(values[0])} to {number(values[-1])}")
    summary = f"{'; '.join(parts)}."
    columns = ("run", "agent-steps", "value")
    return Chart(name, title[0].upper() + title[1:], summary, as_plain(figure), columns, rows)
