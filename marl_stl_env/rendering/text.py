"""One event as lines of text."""

from __future__ import annotations

from collections.abc import Sequence

from marl_stl_env.rendering.frame import Event, Frame

_UNDECIDED = "undecided"


def as_text(event: Event) -> str:
    """Time, entity and views of an event; after the vote also what came of it."""
    when = "" if event.time is None else f"  t={event.time:,.1f} s"
    where = "" if event.entity is None else f"  entity {event.entity}"
    lines = [f"event {event.step}{when}{where}"]
    if not isinstance(event, Frame):
        return "\n".join(lines + _views(event, [_UNDECIDED] * len(event.seen)))
    views = _views(event, [action.lower() for action in event.actions])
    lines += [
        view + ("  (faulty)" if faulty else "")
        for view, faulty in zip(views, event.faulty, strict=True)
    ]
    truth = f"{'threat' if event.threat else 'benign'} ({event.family})"
    held = "  its entity is isolated" if event.isolated else ""
    verdict = "right" if event.right else "wrong"
    lines.append(
        f"  decision  {event.decision.lower():<10}  {truth}: {verdict}, {event.reward:+.1f}{held}"
    )
    if event.robustness:
        left = ", ".join(f"{name} {value:+.2f}" for name, value in event.robustness.items())
        lines.append(f"  specifications  {left}")
    return "\n".join(lines)


def _views(event: Event, actions: Sequence[str]) -> list[str]:
    """One line for each sensor: its action and what it sees."""
    lines = []
    for sensor, (seen, action) in enumerate(zip(event.seen, actions, strict=True)):
        features = ", ".join(f"{name} {value:+.1f}" for name, value in seen)
        lines.append(f"  sensor_{sensor}  {action:<10}  {features}")
    return lines
