"""How fast attacks were contained in ``TrafficResponse-v0``, and at what cost."""

from __future__ import annotations

import numpy as np

from marl_stl_agents.evaluation.replay import segment_length
from marl_stl_agents.evaluation.result import Containment, StepsToContainment
from marl_stl_agents.evaluation.rollouts import Rollout
from marl_stl_env.config import EnvConfig
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.dynamics import replay_order
from marl_stl_env.errors import TableError
from marl_stl_env.types import Action, BoolArray, IntArray


def containment_metrics(config: EnvConfig, table: TrafficTable, rollout: Rollout) -> Containment:
    """Containment times and costs of a response.

    An attack is all that one entity does in one episode from its first threat on. It is contained
    by the first stop of any of its events from there on: a Block, a Quarantine or a running
    isolation. Attacks that nothing stopped before the episode's end are censored there, and the
    quantiles are those of Kaplan and Meier (1958), "Nonparametric estimation from incomplete
    observations".

    Args:
        config: The environment.
        table: The scaled table that was evaluated.
        rollout: The team's rollout.

    Raises:
        TableError: If the table names no entities.
    """
    if table.entities is None:
        raise TableError(f"{table.name!r} names no entities: nothing is contained there")
    stopped, length = rollout.decision_votes, segment_length(config, len(table))
    places = np.argsort(replay_order(len(table), config.order)[:-1])
    episodes, steps = np.divmod(places, length)
    last = np.minimum((episodes + 1) * length, len(table)) - 1 - episodes * length
    met = np.stack([episodes, table.entities.astype(np.int64)])
    entities = np.unique(met, axis=1, return_inverse=True)[1].ravel()
    waits, contained, passed = _attacks(entities, steps, last, table.labels, stopped)
    quarantines = (rollout.decisions == Action.QUARANTINE) & ~rollout.isolated
    benign, budget = ~table.labels, config.response.alert_budget / config.response.alert_window
    return Containment(
        attacks=len(waits),
        contained=_mean(contained),
        steps_to_containment=StepsToContainment(
            median=survival_quantile(waits, contained, 0.5),
            p95=survival_quantile(waits, contained, 0.95),
        ),
        threats_passed_before_containment=_mean(passed),
        benign_downtime=_mean(stopped[benign]),
        benign_isolated=_mean(rollout.isolated[benign]),
        analyst_budget_used=_mean(rollout.granted) / budget if budget else 0.0,
        quarantines_per_entity=float(quarantines.sum() / (entities.max() + 1)),
    )


def survival_quantile(waits: IntArray, contained: BoolArray, share: float) -> float | None:
    """Steps after which this share of the attacks is contained, by Kaplan and Meier.

    Args:
        waits: Steps to containment, or to the end of what was seen.  # (attacks,) int64
        contained: Whether it was containment.  # (attacks,) bool
        share: In (0, 1).

    Returns:
        None where the estimate never gets that far.
    """
    from scipy.stats import CensoredData, ecdf

    if not contained.any():
        return None
    seen = CensoredData(uncensored=waits[contained], right=waits[~contained])
    left = ecdf(seen).sf
    reached = np.flatnonzero(left.probabilities <= 1 - share + 1e-12)
    return float(left.quantiles[reached[0]]) if len(reached) else None


def _attacks(
    entities: IntArray, steps: IntArray, last: IntArray, threats: BoolArray, stopped: BoolArray
) -> tuple[IntArray, BoolArray, IntArray]:
    """Waiting time, whether it ended with containment, and threats passed, attack by attack."""
    waits, contained, passed = [], [], []
    order = np.lexsort((steps, entities))
    for events in np.split(order, np.flatnonzero(np.diff(entities[order])) + 1):
        own = np.flatnonzero(threats[events])
        if len(own):
            since = events[own[0] :]
            stops = np.flatnonzero(stopped[since])
            before = since[: stops[0]] if len(stops) else since
            end = steps[since[stops[0]]] if len(stops) else last[since[0]]
            waits.append(end - steps[since[0]])
            contained.append(len(stops) > 0)
            passed.append(int(threats[before].sum()))
    return np.array(waits, np.int64), np.array(contained, np.bool_), np.array(passed, np.int64)


def _mean(values: BoolArray | IntArray) -> float:
    return float(values.mean()) if len(values) else 0.0
