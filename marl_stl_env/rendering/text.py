"""One evaluated event as lines of text."""

from __future__ import annotations

from marl_stl_env.rendering.frame import Frame


def as_text(frame: Frame) -> str:
    """Time, entity, views, votes, decision, label and specifications of one event."""
    when = "" if frame.time is None else f"  t={frame.time:,.1f} s"
    where = "" if frame.entity is None else f"  entity {frame.entity}"
    lines = [f"event {frame.step}{when}{where}"]
    said = zip(frame.seen, frame.actions, frame.faulty, strict=True)
    for sensor, (seen, action, faulty) in enumerate(said):
        features = ", ".join(f"{name} {value:+.1f}" for name, value in seen)
        faulty_sensor = "  (faulty)" if faulty else ""
        lines.append(f"  sensor_{sensor}  {action.lower():<10}  {features}{faulty_sensor}")
    truth = f"{'threat' if frame.threat else 'benign'} ({frame.family})"
    held = "  its entity is isolated" if frame.isolated else ""
    verdict = "right" if frame.right else "wrong"
    lines.append(
        f"  decision  {frame.decision.lower():<10}  {truth}: {verdict}, {frame.reward:+.1f}{held}"
    )
    if frame.robustness:
        left = ", ".join(f"{name} {value:+.2f}" for name, value in frame.robustness.items())
        lines.append(f"  specifications  {left}")
    return "\n".join(lines)
