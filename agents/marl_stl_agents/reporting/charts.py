"""Charts of one evaluation: reward, thresholds, attack families."""

from __future__ import annotations

from typing import Any

import numpy as np

from marl_stl_agents.evaluation.evaluate import Evaluation
from marl_stl_agents.evaluation.result import EvaluationResult, Metrics, ReplicatedControl
from marl_stl_agents.reporting.figures import (
    COLOURS,
    FAINT,
    INK,
    NEW,
    REWARD,
    TEAM,
    Chart,
    as_plain,
    family_interval,
    new_figure,
    number,
    numbers,
    recall_marks,
    reward_bars,
    share,
    thinned,
)
from marl_stl_agents.reporting.numbers import (
    Curve,
    more_precise,
    precision_recall,
    reward_by_threshold,
)

#: How far the axis of rewards reaches below the lowest mark, as a share of its range.
_ROOM_BELOW = 0.35


def reward_chart(result: EvaluationResult) -> Chart:
    """Reward of the team and of every baseline."""
    policies: dict[str, Metrics | ReplicatedControl] = {
        "team": result.decision,
        **result.baselines,
    }
    if result.replicated is not None:
        policies["replicated"] = result.replicated
    rewards = {name: one.reward_per_event for name, one in policies.items()}
    ranked = sorted(rewards, key=lambda name: -rewards[name])
    best, most = result.best_constant, max(rewards.values())
    figure = reward_bars(
        {name: rewards[name] for name in ranked},
        [TEAM if name == "team" else FAINT for name in ranked],
        base=best,
        least=min(rewards["team"], best) - _ROOM_BELOW * (most - best),
        most=most,
    )
    keys = ("f1", "precision", "recall", "pr_auc")
    rows = [
        (
            name,
            number(rewards[name]),
            *(number(getattr(policies[name], key, None)) for key in keys),
        )
        for name in ranked
    ]
    above = sum(value > rewards["team"] for value in rewards.values())
    summary = (
        f"Mean reward per event: team {number(rewards['team'])}, best constant policy "
        f"{number(best)} (where bars begin), oracle {number(rewards['oracle'])}. "
        f"{above} of {len(rewards) - 1} references reach more than the team."
    )
    columns = ("policy", REWARD, "F1", "precision", "recall", "PR-AUC")
    note = "replicated is the replicated-sensor control: copies of the best single sensor."
    return Chart(
        "reward", "Reward against the baselines", summary, as_plain(figure), columns, rows, note
    )


def scored(evaluated: Evaluation) -> dict[str, Any]:
    """Name to scores, of the team and of every baseline that has scores."""
    baselines = {
        name: one.scores for name, one in evaluated.references.items() if one.scores is not None
    }
    return {"team": evaluated.rollout.scores, **baselines}


def precision_recall_chart(evaluated: Evaluation) -> Chart:
    """Precision against recall, with the operating points."""
    from plotly import graph_objects as go

    labels, result = evaluated.table.labels, evaluated.result
    curves = {name: precision_recall(labels, one) for name, one in scored(evaluated).items()}
    figure = new_figure("recall", "precision", height=400)
    figure.update_xaxes(range=[-0.02, 1.02])
    figure.update_yaxes(range=[-0.02, 1.04])
    points = {"team": result.decision, **result.baselines}
    for name, curve in curves.items():
        figure.add_trace(_line(name, curve, "vh"))
    for name in curves:
        figure.add_trace(
            go.Scatter(
                x=[points[name].recall],
                y=[points[name].precision],
                mode="markers",
                name=f"{name}, decisions",
                showlegend=False,
                marker={"color": COLOURS[name], "size": 13 if name == "team" else 8,
                        "symbol": "diamond", "line": {"color": "var(--paper)", "width": 1.5}},
                hovertemplate="%{fullData.name}<br>recall %{x:.3f}, precision %{y:.3f}"
                "<extra></extra>",
            )
        )  # fmt: skip
    better = more_precise(curves["team"], curves["supervised_vote"])
    decision = result.decision
    summary = (
        f"PR-AUC: team {number(decision.pr_auc)}, supervised_vote "
        f"{number(points['supervised_vote'].pr_auc)}. The team is the more precise at "
        f"{better:.0%} of all recalls. Its decisions have recall {number(decision.recall)} and "
        f"precision {number(decision.precision)}."
    )
    note = (
        "Curves rank events by the sensors' mean probability of a threat vote. Diamonds are the "
        "decisions. The vote is not a threshold on that mean, so the team's diamond may lie off "
        "its curve."
    )
    columns = ("recall of at least", *curves)
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
        name=name,
        line={"color": COLOURS[name], "width": 3 if name == "team" else 1.8, "shape": shape},
        hovertemplate="%{fullData.name}<br>%{x:.3f}: %{y:.3f}<extra></extra>",
    )


def threshold_chart(evaluated: Evaluation) -> Chart:
    """Reward of blocking every event whose score reaches a threshold."""
    labels, result, env = evaluated.table.labels, evaluated.result, evaluated.env
    curves = {
        name: reward_by_threshold(env, labels, one, evaluated.table)
        for name, one in scored(evaluated).items()
    }
    decided, optimal = result.decision.reward_per_event, env.reward.threshold
    figure = new_figure("threshold on the probability of a threat", REWARD, height=400)
    for name, curve in curves.items():
        figure.add_trace(_line(name, curve))
    figure.add_vline(optimal, line={"color": INK, "width": 1, "dash": "dot"})
    figure.add_hline(decided, line={"color": TEAM, "width": 1.5, "dash": "dash"})
    best = [curve.best[1] for curve in curves.values()]
    floor = min(*best, decided, result.baselines["always_allow"].reward_per_event)
    spread = max(best) - floor
    figure.update_yaxes(range=[floor - 0.6 * spread, max(best) + 0.1 * spread])
    figure.update_xaxes(range=[0, 1])
    where, most = curves["team"].best
    summary = (
        f"The team's vote reaches {number(decided)} (dashed). A threshold on its sensors' mean "
        f"probability gives {number(curves['team'].at(optimal))} at the cost-optimal "
        f"{number(optimal, 2)} (dotted) and at best {number(most)}, at {number(where, 2)}, which "
        f"is chosen on this split."
    )
    note = "Events below the threshold are allowed, the others blocked."
    if env.dynamics == "response":
        note += (
            " The curves treat every event alone, without isolation and alerts, so they cannot "
            "be compared with the dashed line."
        )
    columns = ("threshold", *curves)
    grid = curves["team"].x[thinned(len(curves["team"].x), 21)]
    rows = [
        (number(at, 2), *(number(curve.at(at)) for curve in curves.values()))
        for at in grid.tolist()
    ]
    return Chart(
        "threshold", "Reward against the threshold", summary, as_plain(figure), columns, rows, note
    )


def family_chart(result: EvaluationResult) -> Chart | None:
    """Recall of each family with its interval; None if the split has no threats."""
    families = result.families
    if not families:
        return None
    figure = new_figure("recall", height=90 + 30 * len(families))
    new = [name for name, one in families.items() if not one.seen_in_train]
    for word, colour, symbol in (("seen in training", TEAM, "circle"), ("new", NEW, "square")):
        chosen = {n: one for n, one in families.items() if (n in new) == (word == "new")}
        if chosen:
            figure.add_trace(recall_marks(chosen, list(chosen), word, colour))
            figure.data[-1].marker.symbol = symbol
    figure.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=list(reversed(families)),
        range=[-0.7, len(families) - 0.3],
    )
    figure.update_xaxes(range=[-0.03, 1.03])
    figure.update_layout(showlegend=bool(new))
    ranked = sorted(families, key=lambda name: families[name].recall)
    summary = (
        f"{len(families)} families. Highest recall: {ranked[-1]} "
        f"({share(families[ranked[-1]].recall)}); lowest: {ranked[0]} "
        f"({share(families[ranked[0]].recall)}). "
        + (f"{len(new)} are not in the training split." if new else "All are in training.")
    )
    rows = [
        (
            name,
            f"{one.events:,}",
            number(one.recall),
            *(number(end) for end in family_interval(one)),
            "new" if name in new else "seen in training",
        )
        for name, one in families.items()
    ]
    columns = ("family", "events", "recall", "from", "to", "in training")
    note = "Bars are 95 % intervals (Wilson). The most frequent family comes first."
    return Chart(
        "families", "Recall of each attack family", summary, as_plain(figure), columns, rows, note
    )
