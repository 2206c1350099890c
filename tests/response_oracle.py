"""The response, its signals and its context for one lane, from the definitions and in plain lists.

Everything is recomputed from the whole history of the episode at every step.
"""

from dataclasses import dataclass

from scipy.stats import binom

from marl_stl_env.config import EnvConfig
from marl_stl_env.data.table import TrafficTable
from tests.oracles import ALERT, QUARANTINE, decide, is_threat_vote, payoff, quorums


@dataclass
class Event:
    entity: int
    threat: bool
    decided: int
    isolated: bool
    granted: bool
    refused: bool

    @property
    def decision(self) -> int:
        return QUARANTINE if self.isolated else self.decided

    @property
    def stopped(self) -> bool:
        return is_threat_vote(self.decision)

    @property
    def begins(self) -> bool:
        return self.decided == QUARANTINE and not self.isolated

    @property
    def alerts(self) -> bool:
        return self.decided == ALERT and not self.isolated


class ScalarResponse:
    """One lane of ``TrafficResponse-v0`` with honest sensors."""

    def __init__(self, config: EnvConfig, table: TrafficTable, start: int) -> None:
        assert table.entities is not None
        self.config, self.table, self.row = config, table, start
        self.entities = table.entities.tolist()
        self.past: list[Event] = []

    def step(self, actions: list[int]) -> tuple[Event, float, list[float]]:
        """The event, the decision's reward and the sensors' rewards."""
        config, now, entity = self.config, len(self.past), self.entities[self.row]
        threat = bool(self.table.labels[self.row])
        decided = decide(actions, *quorums(config))
        isolated = self.isolation_left(entity) > 0
        wanted = decided == ALERT and not isolated and self.analysis(entity) is None
        window = config.response.alert_window
        spent = sum(event.granted for event in self.past[max(0, now - window + 1) :])
        granted = wanted and spent < config.response.alert_budget
        event = Event(entity, threat, decided, isolated, granted, wanted and not granted)
        reward = config.reward
        if isolated:
            team = reward.true_positive if threat else reward.false_positive
        else:
            team = payoff(config, threat, decided)
            if event.refused:
                team -= 0.25 if reward.alert_cost is None else reward.alert_cost
        own = [team if isolated else payoff(config, threat, action) for action in actions]
        share = reward.team_share
        self.past.append(event)
        self.row = min(self.row + 1, len(self.entities) - 1)
        return event, team, [(1 - share) * o + share * team for o in own]

    def isolation_left(self, entity: int) -> int:
        """Steps, this one included, for which the entity is still isolated."""
        begun = [t for t, e in enumerate(self.past) if e.entity == entity and e.begins]
        length = self.config.response.quarantine_length
        return max(0, begun[-1] + 1 + length - len(self.past)) if begun else 0

    def analysis(self, entity: int) -> tuple[bool, bool] | None:
        """(shown, threat) of the verdict on the entity that is under way or shown."""
        calls = [t for t, e in enumerate(self.past) if e.entity == entity and e.granted]
        settings = self.config.response
        if not calls:
            return None
        due = calls[-1] + settings.alert_delay
        if len(self.past) >= due + settings.verdict_length:
            return None
        return len(self.past) >= due, self.past[calls[-1]].threat

    def context(self) -> list[float]:
        entity, settings = self.entities[self.row], self.config.response
        left, analysis = self.isolation_left(entity), self.analysis(entity)
        shown, threat = analysis or (False, False)
        recent = self.past[max(0, len(self.past) - settings.alert_window + 1) :]
        return [
            float(left > 0),
            left / settings.quarantine_length,
            float(shown and threat),
            float(shown and not threat),
            float(analysis is not None and not shown),
            1 - sum(event.granted for event in recent) / max(settings.alert_budget, 1),
            self.record(entity),
        ]

    def record(self, entity: int) -> float:
        """Decisions on the entity while it was free: the newest weighs 1/4, the next 3/16, ..."""
        stops = [e.stopped for e in self.past if e.entity == entity and not e.isolated]
        return sum(0.25 * 0.75**age * stop for age, stop in enumerate(reversed(stops)))

    def signal(self, name: str) -> float:
        """A signal of the last step."""
        last, now = self.past[-1], len(self.past)
        if name in ("threat", "stopped", "isolated", "alerts"):
            return float(getattr(last, name))
        if name == "age":
            return self.age()
        held = sum(e.begins for e in self.past[-self.config.response.quarantine_length :])
        if name == "quarantined":
            return held
        if name == "quarantined_fraction":
            return held / len({e.entity for e in self.past[-64:]})
        kind, text = name.rsplit("_", 1)
        window = int(text)
        recent = self.past[-window:]
        if kind == "requarantined_benign":
            return self.requarantined(now, window)
        free = [e for e in recent if not e.isolated]
        misses = sum(e.threat and not e.stopped for e in recent)
        threats = sum(e.threat for e in free)
        alarms = sum(not e.threat and e.stopped for e in free)
        benign = sum(not e.threat for e in free)
        offered = [e for e in recent if not e.threat]
        values: dict[str, float] = {
            "alerts": sum(e.alerts for e in recent),
            "quarantines": sum(e.begins for e in recent),
            "threats": threats,
            "misses": misses,
            "benign": benign,
            "false_alarms": alarms,
            "denied": sum(e.stopped for e in offered) / max(len(offered), 1),
        }
        if kind in values:
            return values[kind]
        alpha = 1e-3 * window / max(self.config.episode_length, window)
        part, whole = (misses, threats) if kind == "missed_margin" else (alarms, benign)
        return float(binom.isf(alpha, whole, 0.05)) - part if whole else -part

    def age(self) -> int:
        last, now = self.past[-1], len(self.past) - 1
        if not last.threat or last.stopped:
            return 0
        own = [(t, e) for t, e in enumerate(self.past) if e.entity == last.entity]
        stops = [t for t, e in own if e.stopped]
        since = [t for t, e in own if e.threat and t > max(stops, default=-1)]
        return now - since[0]

    def requarantined(self, now: int, window: int) -> float:
        last = self.past[-1]
        before = [t for t, e in enumerate(self.past[:-1]) if e.entity == last.entity and e.begins]
        if not last.begins or last.threat or not before:
            return 0.0
        ended = before[-1] + 1 + self.config.response.quarantine_length
        return float(now - 1 - ended < window)
