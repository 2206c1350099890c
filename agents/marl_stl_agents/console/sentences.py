"""Sentences made from a result, the same in the terminal and in the report."""

from __future__ import annotations

from collections.abc import Sequence

from marl_stl_agents.diagnostics.checklist import Check
from marl_stl_agents.evaluation.result import EvaluationResult, Metrics, SpecResult, Verdict

#: A team tolerates its faulty sensors if the worst fault leaves this share of its gain.
TOLERANT = 0.5
#: Two gains are called the same where their ratio is nearer to 1 than this.
SAME = 0.005


def verdict_sentence(result: EvaluationResult) -> str:
    """Whether the team learned, and how it compares with the supervised vote."""
    reward, constant = result.decision.reward_per_event, result.best_constant
    gain = f"{reward:+.3f} per event, the best constant policy {constant:+.3f}"
    if result.verdict is Verdict.NOT_LEARNED:
        return f"NOT LEARNED: the team's mean reward is {gain}."
    if result.verdict is Verdict.NO_REFERENCE:
        return (
            f"Learned: the team's mean reward is {gain}. The supervised vote is no better than "
            "the constant policy, so it is no reference here."
        )
    return (
        f"Learned: the team's mean reward is {gain}. Its gain over the constant policy is "
        f"{_compared(result.vote_ratio)} supervised_vote (classifiers with the same views and "
        "vote)."
    )


def _compared(ratio: float | None) -> str:
    if ratio is None or abs(ratio - 1.0) < SAME:
        return f"within {SAME:.1%} the same as that of"
    if ratio > 1.0:
        return f"{ratio - 1.0:.0%} more than that of"
    return f"{ratio:.0%} of that of"


def tolerance_sentence(result: EvaluationResult) -> str:
    """That a team does not tolerate its own faulty sensors, and what helps; empty where it does."""
    left, worst = result.gain_under_faults, result.worst_fault
    if left is None or worst is None or left >= TOLERANT:
        return ""
    lost = "less than the best constant policy" if left < 0 else f"{left:.0%} of its gain is left"
    return (
        f"Does not tolerate its faulty sensors: with {worst.faulty} of {len(result.agents)} faulty "
        f"({worst.fault}) the mean reward is {worst.reward_per_event:+.3f} per event, {lost}. What "
        f"helps: --views overlap --agents 7, or training with --faulty {worst.faulty}"
    )


def relative_lines(result: EvaluationResult) -> list[tuple[float, str]]:
    """The ratios of a result that are known, and what 1 stands for."""
    ratios = (
        (result.normalized_score, "normalized score: 0 is the best constant policy, 1 the oracle"),
        (result.ceiling_ratio, "of the gain of supervised (one classifier, all columns)"),
        (result.vote_ratio, "of the gain of supervised_vote (same views, same vote)"),
        (result.bayes_ratio, "of the gain of bayes (Bayes' rule, all columns)"),
        (result.bayes_vote_ratio, "of the gain of bayes_vote (Bayes' rule, same views and vote)"),
    )
    return [(value, words) for value, words in ratios if value is not None]


def actions_sentence(result: EvaluationResult) -> str:
    """Share of each action, and which actions have the same reward."""
    shares = ", ".join(f"{name} {share:.1%}" for name, share in result.action_shares.items())
    text = f"Actions: {shares}."
    if result.equal_actions:
        pairs = "; ".join(" and ".join(names) for names in result.equal_actions)
        text += f" In this environment these have the same reward: {pairs}."
    return text


def operating_point_sentence(result: EvaluationResult) -> str:
    """What the team reaches at its operating point, and what the vote does."""
    point = result.operating_point
    if point is None:
        return ""
    chosen = "as given"
    if point.chosen_on == "validation":
        chosen = "the best mean reward on validation"
        chosen += ", which flatters it here" if result.split == "validation" else ""
    return (
        f"operating point: threat score >= {point.threshold:.4g} ({chosen}): "
        f"{_in_short(point.metrics)}. The vote: {_in_short(result.decision)}. Use it with: "
        f"marl-stl-decide --threshold {point.threshold:.4g}"
    )


def _in_short(metrics: Metrics) -> str:
    return (
        f"precision {metrics.precision:.3f}, recall {metrics.recall:.3f}, F1 {metrics.f1:.3f}, "
        f"reward {metrics.reward_per_event:+.3f} per event"
    )


def checklist_sentence(checks: Sequence[Check], verdict: Verdict) -> str:
    """How failed lines of the checklist and the verdict go together; empty where both agree."""
    failed = [check.name for check in checks if check.status == "failed"]
    if failed and verdict.learned:
        return (
            f"The checklist has failed lines ({', '.join(failed)}), and the team learned all the "
            "same: the checklist is about the course of the training, the verdict about the best "
            "checkpoint. The failed lines say where more could be gained."
        )
    if checks and not failed and not verdict.learned:
        return (
            "No line of the checklist failed, and the team did not learn: the training was sound "
            "as far as it went. Compare with the classifiers of the preflight; if one of them "
            "learned, more --iterations may help."
        )
    return ""


def certificate_sentence(together: SpecResult) -> str:
    """What is certified of the conjunction of all specifications."""
    level = f"at confidence {1 - together.delta:.0%}"
    wanted = f"{1 - together.epsilon:.0%}"
    if together.certified:
        text = f"CERTIFIED {level}: all specifications hold with probability at least {wanted}."
    else:
        text = (
            f"NOT CERTIFIED {level}: all specifications were satisfied in "
            f"{together.satisfied:.1%} of {together.episodes:,} episodes; the certificate needs "
            f"a probability of {wanted}."
        )
    if together.kept_by:
        text += f" They are vacuous: satisfied by {_listed(together.kept_by)}."
    return text


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
