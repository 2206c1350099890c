"""A rollout as one self-contained page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marl_stl_agents.console.tables import verdict
from marl_stl_agents.diagnostics.checklist import Checked, read_checklist
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
from marl_stl_env.stl.specs import CONJUNCTION

if TYPE_CHECKING:
    from jinja2 import Environment

    from marl_stl_agents.evaluation.evaluation import Evaluation

_TEMPLATES = "templates"
#: Titles of the key figures, and where they stand in ``evaluation.json``.
_RELATIVE = {
    "normalized_score": "of the way from the best constant policy (0) to the oracle (1)",
    "ceiling_ratio": "of what one supervised classifier on all columns gains",
    "vote_ratio": "of what supervised classifiers under the same vote gain",
    "bayes_ratio": "of what Bayes' rule on all columns gains",
    "bayes_vote_ratio": "of what Bayes' rules under the same vote gain",
}


def write_report(evaluated: Evaluation, path: Path) -> None:
    """Write the report of a rollout, whole or not at all.

    Args:
        evaluated: The rollout; nothing of it is evaluated again but the episodes of the replay.
        path: The file.

    Raises:
        RunError: If the run's checklist is damaged.
    """
    write_text(path, report_page(evaluated))


def report_page(evaluated: Evaluation) -> str:
    """The report of a rollout as HTML, with all that it needs inside."""
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
    replay = record_episodes(evaluated)
    return render(
        "report.html",
        data={"evaluation": result, "charts": chart_data(sections), "replay": replay},
        name=evaluated.run.name,
        result=result,
        verdict=sentence(verdict(result)),
        learned="NOT LEARNED" not in verdict(result),
        facts=_facts(evaluated),
        key_figures=_key_figures(result),
        relative=[
            (number(result[key]), text) for key, text in _RELATIVE.items()
            if result.get(key) is not None
        ],
        conjunction=CONJUNCTION,
        checked=_last_checked(evaluated.run),
        replay=replay,
        **sections,
    )  # fmt: skip


def chart_data(sections: Mapping[str, Any]) -> dict[str, Any]:
    """Data and layout of every chart, by its name."""
    charts: list[Chart] = []
    for section in sections.values():
        charts += section if isinstance(section, list) else [section] if section else []
    return {chart.name: chart.figure for chart in charts}


def render(template: str, **context: Any) -> str:
    """A template with its style, its scripts and plotly inside."""
    from plotly.offline import get_plotlyjs

    text: str = _environment().get_template(template).render(plotly=get_plotlyjs(), **context)
    return text


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("marl_stl_agents.reporting", _TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def inside(name: str) -> Markup:
        """A file beside the templates, as it is."""
        source, _, _ = environment.loader.get_source(environment, name)  # type: ignore[union-attr]
        return Markup(source)  # noqa: S704 - files of this package

    environment.globals["inside"] = inside
    environment.filters |= {"number": number, "share": share}
    return environment


def sentence(text: str) -> str:
    """A verdict as a sentence of its own."""
    told = text.removeprefix("verdict: ")
    return told[0].upper() + told[1:]


def _last_checked(run: Path) -> Checked | None:
    checked = read_checklist(run).checked
    return checked[-1] if checked else None


def _key_figures(result: dict[str, Any]) -> list[tuple[str, str]]:
    decision = result["decision"]
    figures = [
        ("reward per event", number(decision["reward_per_event"])),
        ("F1", number(decision["f1"])),
        ("precision", number(decision["precision"])),
        ("recall", number(decision["recall"])),
        ("area under precision and recall", number(decision["pr_auc"])),
    ]
    if result["stl"]:
        together = result["stl"][CONJUNCTION]
        figures.append(("episodes with all specifications satisfied", share(together["satisfied"])))
    if result["byzantine"]:
        worst = min(float(entry["reward_per_event"]) for entry in result["byzantine"])
        figures.append(("reward with the worst faults", number(worst)))
    return figures


def _facts(evaluated: Evaluation) -> list[tuple[str, str]]:
    """What was evaluated, in words."""
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
        ("evaluated", f"{result['events']:,} events of the {result['split']} split, "
                   f"{share(result['threat_rate'])} threats"),
        ("sensors", f"{env.agents}, views: {views}"),
        ("vote", f"{vote}; bears {rule.faulty_for(env.agents)} faulty"),
        ("dynamics", "TrafficResponse-v0" if env.dynamics == "response" else "Traffic-v0"),
        ("policy", f"{config.ppo.policy}, {config.ppo.sharing}"),
        ("training", f"{config.iterations} iterations on {config.lanes} lanes, seed "
                     f"{config.seed}, {path}; specifications: {config.stl}"),
    ]  # fmt: skip
