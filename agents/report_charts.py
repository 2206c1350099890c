"""The charts of one judgement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from agents.baselines import threat_groups
from agents.report_figures import (
    BAD,
    COLOURS,
    FAINT,
    GOOD,
    INK,
    POLICIES,
    SERIES,
    TEAM,
    Chart,
    as_plain,
    new_figure,
    number,
    numbers,
    share,
    thinned,
)
from agents.report_numbers import (
    Curve,
    more_precise,
    precision_recall,
    recall_interval,
    reward_by_threshold,
)
from marl_stl_env.consensus.correlation import error_correlations

if TYPE_CHECKING:
    from agents.evaluation import Judged

_REWARD = "reward per event"
_BEYOND = 0.35


def reward_chart(result: dict[str, Any]) -> Chart:
    """The team's reward beside that of every baseline."""
    from plotly import graph_objects as go

    earned = {"team": result["decision"], "clones": result["clones"], **result["baselines"]}
    rewards = {name: one["reward_per_event"] for name, one in earned.items()}
    ranked = sorted(rewards, key=lambda name: rewards[name])
    best = max(rewards["always_allow"], rewards["always_block"])
    top = max(rewards.values())
    least = min(rewards["team"], best) - _BEYOND * (top - best)
    titles = [POLICIES[name] for name in ranked]
    figure = new_figure(_REWARD, height=80 + 34 * len(ranked), showlegend=False)
    figure.update_layout(margin_r=40)
    figure.add_trace(
        go.Bar(
            x=[max(rewards[name], least) - best for name in ranked],
            base=[best] * len(ranked),
            y=titles,
            orientation="h",
            marker={"color": [TEAM if name == "team" else FAINT for name in ranked]},
            customdata=[rewards[name] for name in ranked],
            hovertemplate="%{y}: %{customdata:.4f}<extra></extra>",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=[max(rewards[name], best) for name in ranked],
            y=titles,
            mode="text",
            text=[
                f" {number(rewards[name])}{' (cut off)' if rewards[name] < least else ''}"
                for name in ranked
            ],
            textposition="middle right",
            cliponaxis=False,
            hoverinfo="skip",
        )
    )
    figure.update_xaxes(range=[least, top + 0.3 * (top - least)])
    figure.update_yaxes(showgrid=False)
    figure.add_vline(best, line={"color": INK, "width": 1, "dash": "dot"})
    rows = [
        (
            POLICIES[name],
            number(rewards[name]),
            *(number(earned[name].get(key)) for key in ("f1", "precision", "recall", "pr_auc")),
        )
        for name in reversed(ranked)
    ]
    above = sum(value > rewards["team"] for value in rewards.values())
    summary = (
        f"The team earns {number(rewards['team'])} per event; the better constant policy "
        f"{number(best)} (dotted), the oracle {number(rewards['oracle'])}. "
        f"{above} of {len(rewards) - 1} references earn more."
    )
    columns = ("policy", _REWARD, "F1", "precision", "recall", "area under PR")
    return Chart("reward", "Reward against the baselines", summary, as_plain(figure), columns, rows)


def scored(judged: Judged) -> dict[str, Any]:
    """The scores of the team and of every reference that gives some."""
    given = {name: one.scores for name, one in judged.references.items() if one.scores is not None}
    return {"team": judged.judgement.scores, **given}


def precision_recall_chart(judged: Judged) -> Chart:
    """Precision against recall, with the operating points."""
    from plotly import graph_objects as go

    labels, result = judged.table.labels, judged.result
    curves = {name: precision_recall(labels, one) for name, one in scored(judged).items()}
    figure = new_figure("recall", "precision", height=400)
    figure.update_xaxes(range=[-0.02, 1.02])
    figure.update_yaxes(range=[-0.02, 1.04])
    points = {"team": result["decision"], **result["baselines"]}
    for name, curve in curves.items():
        figure.add_trace(_line(name, curve, "vh"))
    for name in curves:
        figure.add_trace(
            go.Scatter(
                x=[points[name]["recall"]],
                y=[points[name]["precision"]],
                mode="markers",
                name=f"{POLICIES[name]}: what was decided",
                showlegend=False,
                marker={"color": COLOURS[name], "size": 13 if name == "team" else 8,
                        "symbol": "diamond", "line": {"color": "var(--paper)", "width": 1.5}},
                hovertemplate="%{fullData.name}<br>recall %{x:.3f}, precision %{y:.3f}"
                "<extra></extra>",
            )
        )  # fmt: skip
    better = more_precise(curves["team"], curves["supervised_vote"])
    decision = result["decision"]
    summary = (
        f"By what its sensors think, the team has an area of {number(decision['pr_auc'])} under "
        f"the curve, supervised classifiers under the same vote "
        f"{number(points['supervised_vote']['pr_auc'])}; at {better:.0%} of all recalls the team "
        f"is the more precise. What it decided has recall {number(decision['recall'])} and "
        f"precision {number(decision['precision'])}."
    )
    note = (
        "Curves rank events by the sensors' mean probability of a threat vote. Diamonds are the "
        "decisions: a vote is no threshold on that mean, so the team's may lie off its curve."
    )
    columns = ("recall of at least", *(POLICIES[name] for name in curves))
    rows = [
        (number(recall, 1), *(number(_precision_at(one, recall)) for one in curves.values()))
        for recall in np.linspace(0.1, 1.0, 10)
    ]
    return Chart(
        "precision-recall", "Precision and recall", summary, as_plain(figure), columns, rows, note
    )


def _precision_at(curve: Curve, recall: float) -> float:
    return float(curve.y[curve.x >= recall - 1e-9].max())


def _line(name: str, curve: Curve, shape: str = "linear") -> Any:
    from plotly import graph_objects as go

    return go.Scatter(
        x=numbers(curve.x),
        y=numbers(curve.y),
        mode="lines",
        name=POLICIES[name],
        line={"color": COLOURS[name], "width": 3 if name == "team" else 1.8, "shape": shape},
        hovertemplate="%{fullData.name}<br>%{x:.3f}: %{y:.3f}<extra></extra>",
    )


def threshold_chart(judged: Judged) -> Chart:
    """What blocking from each threshold on would earn."""
    labels, result, env = judged.table.labels, judged.result, judged.env
    curves = {name: reward_by_threshold(env, labels, one) for name, one in scored(judged).items()}
    decided, optimal = result["decision"]["reward_per_event"], env.reward.threshold
    figure = new_figure("threshold on the probability of a threat", _REWARD, height=400)
    for name, curve in curves.items():
        figure.add_trace(_line(name, curve))
    figure.add_vline(optimal, line={"color": INK, "width": 1, "dash": "dot"})
    figure.add_hline(decided, line={"color": TEAM, "width": 1.5, "dash": "dash"})
    best = [curve.best[1] for curve in curves.values()]
    floor = min(min(best), decided, result["baselines"]["always_allow"]["reward_per_event"])
    spread = max(best) - floor
    figure.update_yaxes(range=[floor - 0.6 * spread, max(best) + 0.1 * spread])
    figure.update_xaxes(range=[0, 1])
    where, most = curves["team"].best
    summary = (
        f"The team's votes earn {number(decided)} (dashed). One threshold on its sensors' mean "
        f"probability would earn {number(curves['team'].at(optimal))} at the cost-optimal "
        f"{number(optimal, 2)} (dotted), and at most {number(most)}, at {number(where, 2)}; that "
        f"one is chosen with hindsight on this split."
    )
    note = "Below its threshold an event is allowed, from there on blocked."
    if env.dynamics == "response":
        note += (
            " Every event counts by itself here: lasting isolation and alerts are left out, so "
            "the dashed line is not to be compared with the curves."
        )
    columns = ("threshold", *(POLICIES[name] for name in curves))
    grid = curves["team"].x[thinned(len(curves["team"].x), 21)]
    rows = [
        (number(at, 2), *(number(curve.at(at)) for curve in curves.values())) for at in grid.tolist()
    ]
    return Chart(
        "threshold", "Reward against the threshold", summary, as_plain(figure), columns, rows, note
    )


def family_chart(result: dict[str, Any]) -> Chart | None:
    """Recall of each family with its interval; None where the split holds no threats."""
    from plotly import graph_objects as go

    families = result["families"]
    if not families:
        return None
    figure = new_figure("recall", height=90 + 30 * len(families))
    rows, unseen = [], 0
    for seen, word, colour in ((True, "seen in training", TEAM), (False, "new", SERIES[0])):
        chosen = {name: one for name, one in families.items() if one["seen_in_train"] is seen}
        if not chosen:
            continue
        unseen += 0 if seen else len(chosen)
        recalls = [one["recall"] for one in chosen.values()]
        spans = [
            recall_interval(round(one["recall"] * one["events"]), one["events"])
            for one in chosen.values()
        ]
        figure.add_trace(
            go.Scatter(
                x=recalls,
                y=list(chosen),
                mode="markers",
                name=word,
                marker={"color": colour, "size": 10, "symbol": "circle" if seen else "square"},
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": [high - one for one, (_, high) in zip(recalls, spans, strict=True)],
                    "arrayminus": [one - low for one, (low, _) in zip(recalls, spans, strict=True)],
                    "color": colour,
                    "thickness": 1.5,
                    "width": 4,
                },
                customdata=[one["events"] for one in chosen.values()],
                hovertemplate="%{y}: %{x:.3f} of %{customdata} events<extra></extra>",
            )
        )
        rows += [
            (name, f"{one['events']:,}", number(one["recall"]), number(low), number(high), word)
            for (name, one), (low, high) in zip(chosen.items(), spans, strict=True)
        ]
    figure.update_yaxes(categoryorder="array", categoryarray=list(reversed(families)),
                        range=[-0.7, len(families) - 0.3])  # fmt: skip
    figure.update_xaxes(range=[-0.03, 1.03])
    worst = min(families, key=lambda name: families[name]["recall"])
    best = max(families, key=lambda name: families[name]["recall"])
    summary = (
        f"Of {len(families)} families {best} is found best ({share(families[best]['recall'])}) "
        f"and {worst} worst ({share(families[worst]['recall'])}). "
        + (f"{unseen} of them were new to the team." if unseen else "All were seen in training.")
    )
    columns = ("family", "events", "recall", "from", "to", "in training")
    note = "Bars are 95 % intervals (Wilson). The most frequent family comes first."
    return Chart(
        "families", "Recall of each attack family", summary, as_plain(figure), columns, rows, note
    )


def sensor_chart(judged: Judged) -> Chart:
    """What each sensor would earn alone."""
    from plotly import graph_objects as go

    result, clones = judged.result, judged.result["clones"]
    groups = threat_groups(judged.env, judged.prepared)
    agents, decided = result["agents"], result["decision"]["reward_per_event"]
    names = [name.removeprefix("sensor_") for name in agents]
    rewards = [one["reward_per_event"] for one in agents.values()]
    figure = new_figure("sensor", _REWARD, height=320)
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
        f"same vote of copies of {clones['sensor'].replace('_', ' ')} earns "
        f"{number(clones['reward_per_event'])} (F1 {number(clones['f1'])})."
    )
    columns = ("sensor", "sees", "precision", "recall", "F1", _REWARD)
    return Chart("sensors", "Each sensor alone", summary, as_plain(figure), columns, rows)


def correlation_chart(judged: Judged) -> Chart:
    """How far the errors of each pair of sensors go together."""
    from plotly import graph_objects as go

    matrix = error_correlations(judged.judgement.votes, judged.table.labels)
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
    mean = judged.result["error_correlation"]
    summary = (
        f"The errors of two sensors correlate by {number(mean, 2)} on average. At 0 a vote averages "
        "errors out; at 1 the sensors are copies of each other and a vote is worth one of them."
    )
    columns = ("sensor", *names)
    rows = [
        (str(i), *("–" if cell is None else number(cell, 2) for cell in row))
        for i, row in enumerate(cells)
    ]
    note = ""
    if np.isnan(matrix).any():
        note = "Sensors without a correlation are always right or always wrong."
    return Chart(
        "correlation", "Errors in common", summary, as_plain(figure), columns, rows, note
    )


def byzantine_chart(result: dict[str, Any]) -> Chart | None:
    """Reward with faulty sensors in the team; None where it bears none."""
    from plotly import graph_objects as go

    if not result["byzantine"]:
        return None
    honest = result["decision"]
    faults: dict[str, list[dict[str, Any]]] = {}
    for entry in result["byzantine"]:
        faults.setdefault(entry["fault"], []).append(entry)
    figure = new_figure("faulty sensors", _REWARD, height=380)
    rows = [("none", "0", number(honest["reward_per_event"]), number(honest["f1"]),
             number(honest["recall"]))]  # fmt: skip
    for place, (fault, entries) in enumerate(faults.items()):
        name = fault.replace("_", " ")
        figure.add_trace(
            go.Scatter(
                x=[0, *(entry["faulty"] for entry in entries)],
                y=[honest["reward_per_event"], *(one["reward_per_event"] for one in entries)],
                mode="lines+markers",
                name=name,
                line={"color": SERIES[place % len(SERIES)], "width": 2,
                      "dash": ("solid", "dash")[place % 2]},
                hovertemplate="%{fullData.name}, %{x} faulty: %{y:.4f}<extra></extra>",
            )
        )
        rows += [
            (name, str(one["faulty"]), *(number(one[key]) for key in
             ("reward_per_event", "f1", "recall")))
            for one in entries
        ]  # fmt: skip
    most = max(entry["faulty"] for entry in result["byzantine"])
    constants = [result["baselines"][f"always_{word}"]["reward_per_event"] for word in ("allow", "block")]
    figure.add_hline(max(constants), line={"color": INK, "width": 1, "dash": "dot"})
    figure.update_xaxes(tickmode="linear", dtick=1, range=[-0.1, most + 0.1])
    worst = min(result["byzantine"], key=lambda entry: float(entry["reward_per_event"]))
    summary = (
        f"Honest, the team earns {number(honest['reward_per_event'])}. At worst, with "
        f"{worst['faulty']} faulty ({worst['fault'].replace('_', ' ')}), "
        f"{number(worst['reward_per_event'])} and F1 {number(worst['f1'])}; the better constant "
        f"policy earns {number(max(constants))} (dotted)."
    )
    columns = ("fault", "faulty sensors", _REWARD, "F1", "recall")
    return Chart("byzantine", "With faulty sensors", summary, as_plain(figure), columns, rows)


def robustness_charts(judged: Judged) -> list[Chart]:
    """How each promise's robustness is spread over the certified episodes."""
    from plotly import graph_objects as go

    if judged.watched is None:
        return []
    charts = []
    for place, (name, (kept, robustness)) in enumerate(judged.watched.by_name().items()):
        known = robustness[np.isfinite(robustness)]
        one = judged.result["stl"][name]
        counts, edges = np.histogram(known, bins=min(24, max(6, len(np.unique(known)))))
        middles = (edges[:-1] + edges[1:]) / 2
        figure = new_figure("robustness", "episodes", height=200)
        figure.add_trace(
            go.Bar(
                x=numbers(middles),
                y=counts.tolist(),
                width=numbers(np.diff(edges)),
                marker={"color": [BAD if middle < 0 else GOOD for middle in middles.tolist()],
                        "line": {"color": "var(--paper)", "width": 1}},
                hovertemplate="about %{x:.3g}: %{y} episodes<extra></extra>",
            )
        )  # fmt: skip
        figure.add_vline(0, line={"color": INK, "width": 1})
        stated = "certified" if one["certified"] else "not certified"
        summary = (
            f"Kept in {share(float(kept.mean()))} of {len(kept)} episodes; {stated}. Robustness "
            f"{number(one['robustness']['min'])} at the least, "
            f"{number(one['robustness']['mean'])} on average."
        )
        if len(known) < len(robustness):
            summary += f" In {len(robustness) - len(known)} episodes it never came to count."
        rows = [
            (number(low), number(high), str(count))
            for low, high, count in zip(edges[:-1], edges[1:], counts.tolist(), strict=True)
        ]
        charts.append(
            Chart(f"robustness-{place}", name, summary, as_plain(figure),
                  ("from", "to", "episodes"), rows)
        )  # fmt: skip
    return charts
