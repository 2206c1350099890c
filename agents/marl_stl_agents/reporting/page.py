"""The report of an evaluation as one self-contained page."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marl_stl_agents.console.sentences import (
    actions_sentence,
    certificate_sentence,
    checklist_sentence,
    relative_lines,
    tolerance_sentence,
    verdict_sentence,
)
from marl_stl_agents.diagnostics.checklist import Checked, read_checklist
from marl_stl_agents.evaluation.evaluate import Evaluation
from marl_stl_agents.evaluation.result import EvaluationResult, as_json
from marl_stl_agents.printable import printable
from marl_stl_agents.reporting.attackers import read_attacks
from marl_stl_agents.reporting.charts import (
    family_chart,
    precision_recall_chart,
    reward_chart,
    threshold_chart,
)
from marl_stl_agents.reporting.episode import record_episodes
from marl_stl_agents.reporting.figures import Chart, number, share
from marl_stl_agents.reporting.team_charts import (
    byzantine_chart,
    correlation_chart,
    robustness_charts,
    sensor_chart,
)
from marl_stl_agents.reporting.training_charts import training_charts
from marl_stl_env.files import write_text

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = "templates"
#: Styles and scripts inside the pages; a page applies and runs no others.
_STYLES, _SCRIPTS = ("page.css", "replay.css"), ("page.js", "replay.js")

#: Styles that plotly sets: empty ones, and one of the image in a heatmap.
_PLOTLY_STYLES = (
    "",
    "".join(
        f"image-rendering: {value}; "
        for value in (
            "optimizeSpeed", "-moz-crisp-edges", "-o-crisp-edges", "-webkit-optimize-contrast",
            "optimize-contrast", "crisp-edges", "pixelated",
        )
    ),
)  # fmt: skip


def write_report(evaluated: Evaluation, path: Path) -> None:
    """Write the report of an evaluation, whole or not at all.

    Args:
        evaluated: The evaluation; only the episodes of the replay are run for the report.
        path: The file.

    Raises:
        RunError: If the run's checklist is damaged.
    """
    write_text(path, report_page(evaluated))


def report_page(evaluated: Evaluation) -> str:
    """The report as HTML that loads no other file."""
    result = evaluated.result
    sections: dict[str, Any] = {
        "reward": reward_chart(result),
        "curves": [precision_recall_chart(evaluated), threshold_chart(evaluated)],
        "families": family_chart(result),
        "sensors": [sensor_chart(evaluated), correlation_chart(evaluated)],
        "byzantine": byzantine_chart(result),
        "robustness": robustness_charts(evaluated),
        "training": training_charts({evaluated.run.name: evaluated.run}),
    }
    replay, checked = record_episodes(evaluated), _last_checked(evaluated.run)
    return render(
        "report.html",
        data={"evaluation": as_json(result), "charts": chart_data(sections), "replay": replay},
        name=evaluated.run.name,
        result=result,
        verdict=verdict_sentence(result),
        intolerant=tolerance_sentence(result),
        actions=actions_sentence(result),
        facts=_facts(evaluated),
        key_metrics=_key_metrics(result),
        relative=[(number(value), words) for value, words in relative_lines(result)],
        certificate=certificate_sentence(result.conjunction) if result.conjunction else "",
        checked=checked,
        both=checklist_sentence(checked.checks, result.verdict) if checked else "",
        replay=replay,
        attacked=read_attacks(evaluated.run),
        **sections,
    )


def chart_data(sections: Mapping[str, Any]) -> dict[str, Any]:
    """Name of every chart to its data and layout."""
    charts: list[Chart] = []
    for section in sections.values():
        charts += section if isinstance(section, list) else [section] if section else []
    return {chart.name: chart.figure for chart in charts}


def render(template: str, **context: Any) -> str:
    """Render a template, with styles, scripts and plotly inside."""
    text: str = _environment().get_template(template).render(**context)
    return text


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    loader = PackageLoader("marl_stl_agents.reporting", _TEMPLATES)
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    inside = {name: loader.get_source(environment, name)[0] for name in (*_STYLES, *_SCRIPTS)} | {
        "plotly": get_plotlyjs()
    }
    environment.globals["inside"] = {name: Markup(text) for name, text in inside.items()}  # noqa: S704
    environment.globals["policy"] = content_security_policy(
        [inside[name] for name in ("plotly", *_SCRIPTS)],
        [*(inside[name] for name in _STYLES), *_PLOTLY_STYLES],
    )
    # plotly adds the style sheet of its maps unless an element has the sheet's id.
    environment.globals["map_sheets"] = re.findall(
        r'getElementById\("([0-9a-f]{64})"\)', inside["plotly"]
    )
    environment.filters |= {"number": number, "share": share}
    return environment


def content_security_policy(scripts: Sequence[str], styles: Sequence[str]) -> str:
    """A Content-Security-Policy that loads nothing and allows only these inline texts."""

    def allowed(texts: Sequence[str]) -> str:
        digests = (hashlib.sha256(text.encode()).digest() for text in texts)
        return " ".join(f"'sha256-{base64.b64encode(one).decode()}'" for one in digests)

    return (
        f"default-src 'none'; script-src {allowed(scripts)}; "
        f"style-src 'unsafe-hashes' {allowed(styles)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _visible(value: Any) -> Any:
    """A value for output; text from users loses control and bidirectional characters."""
    return printable(value) if type(value) is str else value


def _last_checked(run: Path) -> Checked | None:
    checked = read_checklist(run).checked
    return checked[-1] if checked else None


def _key_metrics(result: EvaluationResult) -> list[tuple[str, str]]:
    decision = result.decision
    metrics = [
        ("reward per event", number(decision.reward_per_event)),
        ("F1", number(decision.f1)),
        ("precision", number(decision.precision)),
        ("recall", number(decision.recall)),
        ("PR-AUC", number(decision.pr_auc)),
    ]
    if result.conjunction is not None:
        metrics.append(
            ("episodes with all specifications satisfied", share(result.conjunction.satisfied))
        )
    if result.worst_fault is not None:
        metrics.append(("reward, worst fault", number(result.worst_fault.reward_per_event)))
    return metrics


def _facts(evaluated: Evaluation) -> list[tuple[str, str]]:
    """Title and value of each fact about the team, its training and the evaluated split."""
    env, config, result = evaluated.env, evaluated.config, evaluated.result
    rule = env.consensus
    views = f"random views of {share(env.random_share)}" if env.random_share else env.views
    vote = f"{rule.threshold_for(env.agents)} of {env.agents} votes make a threat"
    if rule.weights == "reliability":
        vote = "votes weighed by label feedback"
    if env.deliberation:
        vote += ", after a round of proposals"
    path = config.backend
    return [
        ("evaluated", f"{result.events:,} events of the {result.split} split, "
                   f"{share(result.threat_rate)} threats"),
        ("sensors", f"{env.agents}, views: {views}"),
        ("vote", f"{vote}; tolerates {rule.faulty_for(env.agents)} faulty"),
        ("dynamics", "TrafficResponse-v0" if env.dynamics == "response" else "Traffic-v0"),
        ("policy", f"{config.ppo.policy}, {config.ppo.sharing}"),
        ("training", f"{config.iterations} iterations on {config.lanes} lanes, seed "
                     f"{config.seed}, {path}; specifications: {config.stl}"),
    ]  # fmt: skip
