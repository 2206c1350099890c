"""The lines of the checklist: what should hold in a training, and what a failure means.

The lines are in causal order: errors of the data or the reward come before their consequences, so
that the first failed line names the cause.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean
from typing import NamedTuple

from marl_stl_agents.diagnostics.checklist import (
    ITERATIONS,
    LEARNED_ITERATION,
    Check,
    Fault,
    History,
    Setting,
    by_now,
    known_values,
    mean_of,
)
from marl_stl_agents.metric_names import F1, REWARD, TRUE_POSITIVES
from marl_stl_env.types import THREAT_VOTE, Action

#: Iterations that the first and the present value of a metric are averaged over.
_FIRST, _RECENT = 3, 5
#: Divergence between the policies before and after an update.
_LARGE_KL, _SMALL_KL = 0.3, 2e-4


class _Finding(NamedTuple):
    """A line of the checklist before its name; cause and remedy are those of a failure."""

    expectation: str
    measured: str
    holds: bool | None
    cause: str
    remedy: str


def examine(history: History, setting: Setting, fault: Fault | None = None) -> list[Check]:
    """Evaluate the checklist.

    Args:
        history: The iterations so far.
        setting: What they are compared with.
        fault: What ended the training, if it has not come to its end.

    Returns:
        All lines, causes before their consequences.
    """
    checks = [_line("finite", _finite(history, fault))]
    if history:
        checks += [_line(name, check(history, setting)) for name, check in _CHECKS.items()]
    root = diagnosis(checks[: _ROOTS + 1])
    if root is None:
        return checks
    return [
        replace(one, cause=f"follows from {root.name!r}", remedy=f"fix {root.name!r} first")
        if number > _ROOTS and one.status == "failed"
        else one
        for number, one in enumerate(checks)
    ]


def diagnosis(checks: Sequence[Check]) -> Check | None:
    """The first failed line, which is the likely cause of the others."""
    return next((check for check in checks if check.status == "failed"), None)


def _line(name: str, found: _Finding) -> Check:
    if found.holds is False:
        return Check(name, found.expectation, found.measured, "failed", found.cause, found.remedy)
    return Check(name, found.expectation, found.measured, "passed" if found.holds else "unknown")


def _finite(history: History, fault: Fault | None) -> _Finding:
    norm = max(known_values(history, "gradient_norm"), default=0.0)
    return _Finding(
        "no NaN or inf in observations, rewards, losses, gradients and weights",
        fault.place if fault else f"all finite; largest gradient norm before clipping {norm:.3g}",
        fault is None,
        "a NaN spreads to everything that is computed with it; it began here",
        fault.remedy if fault else "",
    )


def _threat_share(history: History, setting: Setting) -> _Finding:
    share, rate = fmean(one.threat_share for one in history), setting.threat_rate
    recent = fmean(one.threat_share for one in history[-_RECENT:])
    one_class, error = recent in {0.0, 1.0}, mean_of(history, "threat_share_error")
    holds = None if error is None else abs(share - rate) <= 4.0 * error + 0.1 * rate
    kind = "threats" if recent else "benign events"
    return _Finding(
        f"the rollouts hold both classes, and as many threats as the split ({rate:.1%})",
        f"{recent:.1%} in the last {min(_RECENT, len(history))} rollouts, {share:.1%} in all",
        False if one_class else holds,
        f"the batch holds {kind} only" if one_class else "the lanes do not replay the whole split",
        "more --lanes: they start at different places of data that is sorted by label",
    )


def _reward_sign(history: History, _: Setting) -> _Finding:
    gains = {"benign events": "gain_benign", "threats": "gain_threat"}
    means = {kind: m for kind, name in gains.items() if (m := mean_of(history, name)) is not None}
    return _Finding(
        "a right vote is rewarded more than a wrong one, on benign events and on threats",
        "right over wrong: "
        + (", ".join(f"{value:+.3g} on {kind}" for kind, value in means.items()) or "not seen yet"),
        min(means.values()) > 0.0 if means else None,
        "wrong votes are rewarded: the reward's sign is flipped, or it belongs to another event",
        "check the reward, and every wrapper between the environment and the trainer",
    )


def _features(history: History, _: Setting) -> _Finding:
    found = next((one for one in reversed(history) if one.signal is not None), None)
    holds: bool | None = None
    measured = "not measured yet"
    if found is not None and found.signal is not None and found.signal_error is not None:
        above = found.signal >= 0.5 + 3.0 * found.signal_error
        holds = None if not above and found.signal_error > 0.03 else above
        measured = "a small classifier on the rollout's observations: "
        measured += f"AUC {found.signal:.3f} (by chance 0.5 ± {found.signal_error:.3f})"
    return _Finding(
        "the observations hold information about the label",
        measured,
        holds,
        "the observations do not hold the answer: labels shuffled, shifted or of another column",
        "check the label column and its order: marl-stl-data check NAME",
    )


def _learning_rate(history: History, setting: Setting) -> _Finding:
    largest = max(history, key=lambda one: one.approx_kl)
    mean = fmean(one.approx_kl for one in history)
    spreads = known_values(history, "value_spread")
    dead = bool(spreads) and fmean(spreads[-_RECENT:]) < 1e-4
    too_large = dead or largest.approx_kl > _LARGE_KL
    too_small = mean < _SMALL_KL and not too_large
    cause = "the learning rate is too large: one update threw the policy away"
    if dead:
        cause = "the network is dead: a learning rate too large drove its units to 0 for good"
    elif too_small:
        cause = "the learning rate is too small: the policy hardly moves"
    return _Finding(
        f"an update moves the policy a little (divergence {_SMALL_KL:g} to {_LARGE_KL:g}), and "
        "the network's output depends on its input",
        f"divergence {mean:.2g} on average, at most {largest.approx_kl:.3g} (iteration "
        f"{largest.iteration}, {largest.clip_fraction:.0%} of the ratios clipped)"
        + (", and the same value for every event" if dead else ""),
        None if too_small and len(history) < ITERATIONS[0] else not (too_small or too_large),
        cause,
        f"--learning-rate {setting.learning_rate * (0.1 if too_large else 10.0):.0e}",
    )


def _action_shares(history: History, setting: Setting) -> _Finding:
    recent = [one.shares for one in history[-_RECENT:]]
    shares = {name: fmean(one[name] for one in recent) for name in recent[0]}
    threats = sum(shares[action.name] for action in Action if THREAT_VOTE[action])
    return _Finding(
        "both votes are sampled, each at least a tenth as often as its class",
        ", ".join(f"{name} {share:.1%}" for name, share in shares.items()),
        0.1 * setting.threat_rate <= threats <= 0.9 + 0.1 * setting.threat_rate,
        "the team settled on one vote and no longer tries the other",
        f"--entropy-coefficient {setting.more_entropy:g}; with partial views --team-share 0.5",
    )


def _value_loss(history: History, setting: Setting) -> _Finding:
    errors = known_values(history, "value_error")
    worst, recent = max(errors, default=0.0), fmean(errors[-_RECENT:] or [0.0])
    exploded = worst > 30.0 or recent > 3.0
    first = fmean(one.value_loss for one in history[:_FIRST])
    last = fmean(one.value_loss for one in history[-_RECENT:])
    holds = None if len(history) < ITERATIONS[0] else last < first
    return _Finding(
        "the value loss falls, and is never far above that of predicting 0",
        f"{first:.3g} at first, {last:.3g} now (reward units); at worst {worst:.3g} times that of "
        "predicting 0",
        False if exploded else holds,
        "the value function overshoots its targets" if exploded else "its targets are noise to it",
        _value_remedy(setting),
    )


def _explained_variance(history: History, setting: Setting) -> _Finding:
    known = mean_of(history[-_RECENT:], "explained_variance")
    return _Finding(
        "the value function explains some of the returns",
        "the returns do not differ" if known is None else f"{known:.4f} (at most 1)",
        None if known is None else by_now(history, known > 1e-3),
        "with this discount the return is mostly the reward of later, unpredictable events"
        if setting.noisy_returns
        else "the value function learns nothing",
        _value_remedy(setting),
    )


def _value_remedy(setting: Setting) -> str:
    if setting.noisy_returns:
        return "--discount 0 (events do not depend on the actions)"
    return f"--learning-rate {setting.learning_rate / 10:.0e}, --return-normalization running"


def _reward(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.3f}"


def _reward_rising(history: History, setting: Setting) -> _Finding:
    first, last = mean_of(history[:_FIRST], "reward"), mean_of(history[-_RECENT:], "reward")
    unknown = len(history) < ITERATIONS[0] or setting.warm_start  # which leaves little to rise
    holds = None if first is None or last is None or unknown else last > first
    return _Finding(
        "the mean reward with sampled actions is above that at first",
        f"{_reward(first)} at first, {_reward(last)} now, per event",
        holds,
        "the updates do not improve the policy",
        f"--learning-rate {setting.learning_rate / 3:.0e}, larger --batch-size, more --lanes",
    )


def _reward_positive(history: History, _: Setting) -> _Finding:
    turned = next((o.iteration for o in history if o.reward is not None and o.reward > 0.0), None)
    last = mean_of(history[-_RECENT:], "reward")
    return _Finding(
        f"from iteration {LEARNED_ITERATION} on the mean reward with sampled actions is positive",
        f"{_reward(last)} now; "
        + (f"first positive at iteration {turned}" if turned else "never positive yet"),
        by_now(history, last is not None and last > 0.0),
        "it has not learned yet, or explores too much",
        "more --iterations; --entropy-coefficient 0.02 or less; compare with the preflight",
    )


def _true_positives(history: History, setting: Setting) -> _Finding:
    return _validated(
        history,
        "the greedy team stops threats",
        (TRUE_POSITIVES, ".0f", 0.0),
        "the team lets everything pass",
        f"--entropy-coefficient {setting.more_entropy:g}, --learning-rate 3e-03, --views full to "
        "see whether the views are the reason",
    )


def _f1(history: History, setting: Setting) -> _Finding:
    return _validated(
        history,
        f"the greedy team's F1 is above that of blocking everything ({setting.constant_f1:.3f})",
        (F1, ".3f", setting.constant_f1),
        "the votes do not tell threats from benign events",
        "more --iterations; --views full to see whether the views are the reason",
    )


def _beats_constants(history: History, setting: Setting) -> _Finding:
    return _validated(
        history,
        "the greedy team's mean reward is above that of the best constant policy "
        f"({setting.constant_reward:+.3f} per event)",
        (REWARD, "+.3f", setting.constant_reward),
        "nothing was learned that is worth its mistakes",
        "more --iterations; compare with the classifiers of the preflight",
    )


def _validated(
    history: History, expectation: str, metric: tuple[str, str, float], cause: str, remedy: str
) -> _Finding:
    """A metric of the greedy team (its key, its format, and the value that it should exceed)."""
    key, form, bound = metric
    evaluated = next((o.evaluated for o in reversed(history) if o.evaluated is not None), None)
    if evaluated is None:
        return _Finding(expectation, "not evaluated yet", None, cause, remedy)
    holds, measured = by_now(history, evaluated[key] > bound), f"{evaluated[key]:{form}}"
    return _Finding(expectation, f"{measured} on validation", holds, cause, remedy)


#: Causes first, then their consequences.
_CHECKS: dict[str, Callable[[History, Setting], _Finding]] = {
    "threat_share": _threat_share,
    "reward_sign": _reward_sign,
    "features": _features,
    "learning_rate": _learning_rate,
    "action_shares": _action_shares,
    "value_loss": _value_loss,
    "explained_variance": _explained_variance,
    "reward_rising": _reward_rising,
    "reward_positive": _reward_positive,
    "true_positives": _true_positives,
    "f1": _f1,
    "beats_constants": _beats_constants,
}
#: So many of them, after "finite", are causes.
_ROOTS = 4
