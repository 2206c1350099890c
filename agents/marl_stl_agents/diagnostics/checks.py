"""The verification checklist: what should hold in a training, and what it means where it does not.

Nothing here touches a trainer. A training leaves one :class:`Iteration` after another, and
:func:`examine` reads them. The lines are in causal order: what is wrong with the data or the reward
stands before what follows from it, so the first failed line names the cause.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal, TypeAlias

from marl_stl_agents.diagnostics.record import ITERATIONS, Fault, History, Setting
from marl_stl_env.types import THREAT_VOTE, Action

#: Before these a team need not be better than a constant.
LEARNED_ITERATION, LEARNED_TIMESTEPS = 30, 150_000

Status: TypeAlias = Literal["passed", "failed", "unknown"]

_FIRST, _RECENT = 3, 5
_LARGE_KL, _SMALL_KL = 0.3, 2e-4
_DEAD = 1e-4
_EXPLODES, _EXPLODED = 3.0, 30.0
_EXPLAINS = 1e-3
_KNOWN_SIGNAL = 0.03


@dataclass(frozen=True)
class Check:
    """One line of the checklist.

    Attributes:
        name: Its name.
        expectation: What should hold.
        measured: What was measured.
        status: Whether it holds; "unknown" where it is too early to tell.
        cause: Of a failure, the likely cause.
        remedy: Of a failure, what to try.
    """

    name: str
    expectation: str
    measured: str
    status: Status
    cause: str | None = None
    remedy: str | None = None


def examine(history: History, setting: Setting, fault: Fault | None = None) -> list[Check]:
    """Go through the checklist.

    Args:
        history: The iterations so far.
        setting: What they are compared with.
        fault: What ended the training, if it has not come to its end.

    Returns:
        All lines, causes before what follows from them.
    """
    checks = [_finite(history, fault)]
    for check in _CHECKS:
        if history:
            checks.append(check(history, setting))
    root = diagnosis(checks[: _ROOTS + 1])
    if root is None:
        return checks
    return [
        replace(one, cause=f"follows from {root.name!r}", remedy=f"mend {root.name!r} first")
        if number > _ROOTS and one.status == "failed"
        else one
        for number, one in enumerate(checks)
    ]


def diagnosis(checks: Sequence[Check]) -> Check | None:
    """The first failed line, which is the likely cause of the others."""
    return next((check for check in checks if check.status == "failed"), None)


def _line(
    name: str, expectation: str, measured: str, holds: bool | None, cause: str, remedy: str
) -> Check:
    if holds is False:
        return Check(name, expectation, measured, "failed", cause, remedy)
    return Check(name, expectation, measured, "unknown" if holds is None else "passed")


def _finite(history: History, fault: Fault | None) -> Check:
    norm = max((one.gradient_norm for one in history), default=0.0)
    return _line(
        "finite",
        "no NaN or inf in observations, rewards, losses, gradients and weights",
        fault.place if fault else f"all finite; largest gradient norm before clipping {norm:.3g}",
        fault is None,
        "a NaN spreads to everything that is computed with it; this is where it came in",
        fault.remedy if fault else "",
    )


def _threat_share(history: History, setting: Setting) -> Check:
    share, rate = fmean(one.threat_share for one in history), setting.threat_rate
    recent = fmean(one.threat_share for one in history[-_RECENT:])
    errors = [one.threat_share_error for one in history if one.threat_share_error is not None]
    one_class = recent in {0.0, 1.0}
    holds: bool | None = None
    if errors:
        holds = abs(share - rate) <= 4.0 * fmean(errors) + 0.1 * rate
    kind = "threats" if recent == 1.0 else "benign events"
    return _line(
        "threat_share",
        f"the rollouts hold both classes, and as many threats as the split ({rate:.1%})",
        f"{recent:.1%} in the last {min(_RECENT, len(history))} rollouts, {share:.1%} in all",
        False if one_class else holds,
        f"the batch holds {kind} only" if one_class else "the lanes do not replay the whole split",
        "more --lanes, --order shuffled; data sorted by label needs one of them",
    )


def _reward_sign(history: History, setting: Setting) -> Check:
    del setting
    gains = {
        "benign events": [one.gain_benign for one in history if one.gain_benign is not None],
        "threats": [one.gain_threat for one in history if one.gain_threat is not None],
    }
    means = {kind: fmean(values) for kind, values in gains.items() if values}
    return _line(
        "reward_sign",
        "a right vote earns more than a wrong one, on benign events and on threats",
        "right over wrong: "
        + (", ".join(f"{value:+.3g} on {kind}" for kind, value in means.items()) or "not seen yet"),
        min(means.values()) > 0.0 if means else None,
        "wrong votes are rewarded: the reward's sign is flipped, or it belongs to another event",
        "check the reward, and every wrapper between the environment and the trainer",
    )


def _features(history: History, setting: Setting) -> Check:
    del setting
    found = next((one for one in reversed(history) if one.signal is not None), None)
    holds: bool | None = None
    measured = "not looked at yet"
    if found is not None and found.signal is not None and found.signal_error is not None:
        holds = found.signal >= 0.5 + 3.0 * found.signal_error
        if not holds and found.signal_error > _KNOWN_SIGNAL:
            holds = None
        measured = (
            f"a small classifier on the rollout's observations: AUC {found.signal:.3f} "
            f"(by chance 0.5 ± {found.signal_error:.3f})"
        )
    return _line(
        "features",
        "what the sensors see has to do with the label",
        measured,
        holds,
        "the observations do not hold the answer: labels shuffled, shifted or of another column",
        "check the label column and its order: python -m marl_stl_env.data check",
    )


def _learning_rate(history: History, setting: Setting) -> Check:
    largest = max(history, key=lambda one: one.approx_kl)
    mean, rate = fmean(one.approx_kl for one in history), setting.learning_rate
    spreads = [one.value_spread for one in history if one.value_spread is not None]
    dead = bool(spreads) and fmean(spreads[-_RECENT:]) < _DEAD
    too_large = dead or largest.approx_kl > _LARGE_KL
    too_small = mean < _SMALL_KL and not too_large
    cause = "the learning rate is too large: one update threw the policy away"
    if dead:
        cause = "the network is dead: a learning rate too large drove its units to 0 for good"
    elif too_small:
        cause = "the learning rate is too small: the policy hardly moves"
    early = len(history) < ITERATIONS[0]
    return _line(
        "learning_rate",
        f"an update moves the policy a little (divergence {_SMALL_KL:g} to {_LARGE_KL:g}), and "
        "what the network says depends on what it sees",
        f"divergence {mean:.2g} on average, at most {largest.approx_kl:.3g} (iteration "
        f"{largest.iteration}, {largest.clip_fraction:.0%} of the ratios clipped)"
        + (", and the same value for every event" if dead else ""),
        False if too_large else (None if too_small and early else not too_small),
        cause,
        f"--learning-rate {rate / 10:.0e} --max-grad-norm 0.1"
        if too_large
        else f"--learning-rate {rate * 10:.0e}",
    )


def _action_shares(history: History, setting: Setting) -> Check:
    recent = history[-_RECENT:]
    shares = {name: fmean(one.shares[name] for one in recent) for name in recent[0].shares}
    threats = sum(shares[action.name] for action in Action if THREAT_VOTE[action])
    rate = setting.threat_rate
    entropy = max(2.5 * setting.entropy_coefficient, 0.02)
    return _line(
        "action_shares",
        "both votes are sampled, each at least a tenth as often as its class",
        ", ".join(f"{name} {share:.1%}" for name, share in shares.items()),
        0.1 * rate <= threats <= 1.0 - 0.1 * (1.0 - rate),
        "the team settled on one vote and no longer tries the other",
        f"--entropy-coefficient {entropy:g}; with partial views --team-share 0.5",
    )


def _value_loss(history: History, setting: Setting) -> Check:
    errors = [one.value_error for one in history if one.value_error is not None]
    worst, recent = max(errors, default=0.0), fmean(errors[-_RECENT:] or [0.0])
    exploded = worst > _EXPLODED or recent > _EXPLODES
    first = fmean(one.value_loss for one in history[:_FIRST])
    last = fmean(one.value_loss for one in history[-_RECENT:])
    holds = None if len(history) < ITERATIONS[0] else last < first
    return _line(
        "value_loss",
        "the value loss falls, and is never far above that of predicting 0",
        f"{first:.3g} at first, {last:.3g} now (reward units); at worst {worst:.3g} times that of "
        "predicting 0",
        False if exploded else holds,
        "the value function overshoots its targets" if exploded else "its targets are noise to it",
        _value_remedy(setting),
    )


def _explained_variance(history: History, setting: Setting) -> Check:
    known = [
        one.explained_variance for one in history[-_RECENT:] if one.explained_variance is not None
    ]
    holds: bool | None = None
    if known:
        holds = fmean(known) > _EXPLAINS or (False if _should_have_learned(history) else None)
    return _line(
        "explained_variance",
        "the value function explains some of the returns",
        f"{fmean(known):.4f} (at most 1)" if known else "the returns do not differ",
        holds,
        "with this discount the return is mostly what later events bring, which no one can foresee"
        if _noisy(setting)
        else "the value function learns nothing",
        _value_remedy(setting),
    )


def _noisy(setting: Setting) -> bool:
    """Whether returns are mostly what actions do not change."""
    return setting.replay and setting.discount > 0.5


def _value_remedy(setting: Setting) -> str:
    if _noisy(setting):
        return "--discount 0 (events do not depend on the actions)"
    return f"--learning-rate {setting.learning_rate / 10:.0e}, --return-normalization running"


def _reward_rising(history: History, setting: Setting) -> Check:
    first, last = _mean_reward(history[:_FIRST]), _mean_reward(history[-_RECENT:])
    holds: bool | None = None
    if first is not None and last is not None and len(history) >= ITERATIONS[0]:
        holds = last > first
    return _line(
        "reward_rising",
        "the sampling team earns more than at first",
        f"{_number(first)} at first, {_number(last)} now, per event",
        holds,
        "the updates do not improve the policy",
        f"--learning-rate {setting.learning_rate / 3:.0e}, larger --batch-size, more --lanes",
    )


def _reward_positive(history: History, setting: Setting) -> Check:
    del setting
    turned = next((o.iteration for o in history if o.reward is not None and o.reward > 0.0), None)
    last = _mean_reward(history[-_RECENT:])
    positive = last is not None and last > 0.0
    return _line(
        "reward_positive",
        f"from iteration {LEARNED_ITERATION} on the sampling team earns more than nothing",
        f"{_number(last)} now; "
        + (f"first positive at iteration {turned}" if turned else "never positive yet"),
        positive or (False if _should_have_learned(history) else None),
        "it has not learned yet, or explores too much",
        "more --iterations; --entropy-coefficient 0.02 or less; compare with the preflight",
    )


def _true_positives(history: History, setting: Setting) -> Check:
    evaluated = _last_acted(history)
    found = evaluated["tp"] if evaluated else 0.0
    return _line(
        "true_positives",
        "the greedy team stops threats",
        f"{found:.0f} on validation" if evaluated else "not evaluated yet",
        found > 0.0 or (False if evaluated and _should_have_learned(history) else None),
        "the team lets everything pass",
        f"--entropy-coefficient {max(2.5 * setting.entropy_coefficient, 0.02):g}, "
        "--learning-rate 3e-03, --views full to see whether the views are the reason",
    )


def _f1(history: History, setting: Setting) -> Check:
    evaluated = _last_acted(history)
    f1 = evaluated["f1"] if evaluated else 0.0
    return _line(
        "f1",
        f"the greedy team's F1 is above that of blocking everything ({setting.constant_f1:.3f})",
        f"{f1:.3f} on validation" if evaluated else "not evaluated yet",
        f1 > setting.constant_f1
        or (False if evaluated and _should_have_learned(history) else None),
        "the votes do not tell threats from benign events",
        "more --iterations; --views full to see whether the views are the reason",
    )


def _beats_constants(history: History, setting: Setting) -> Check:
    evaluated = _last_acted(history)
    reward, constant = (
        (evaluated["reward_per_event"] if evaluated else 0.0),
        setting.constant_reward,
    )
    return _line(
        "beats_constants",
        f"the greedy team earns more than the best constant policy ({constant:+.3f} per event)",
        f"{reward:+.3f} on validation" if evaluated else "not evaluated yet",
        bool(evaluated and reward > constant)
        or (False if evaluated and _should_have_learned(history) else None),
        "nothing was learned that is worth its mistakes",
        "more --iterations; compare with the preflight's ceiling",
    )


def _should_have_learned(history: History) -> bool:
    last = history[-1]
    return last.iteration >= LEARNED_ITERATION and last.timesteps >= LEARNED_TIMESTEPS


def _last_acted(history: History) -> dict[str, float] | None:
    return next((one.evaluated for one in reversed(history) if one.evaluated is not None), None)


def _mean_reward(history: History) -> float | None:
    known = [one.reward for one in history if one.reward is not None]
    return fmean(known) if known else None


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.3f}"


#: Causes first, then what follows from them.
_CHECKS: tuple[Callable[[History, Setting], Check], ...] = (
    _threat_share,
    _reward_sign,
    _features,
    _learning_rate,
    _action_shares,
    _value_loss,
    _explained_variance,
    _reward_rising,
    _reward_positive,
    _true_positives,
    _f1,
    _beats_constants,
)
#: The first so many checks are causes, after "finite".
_ROOTS = 4
