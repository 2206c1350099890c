"""What a run was trained on: ``data.json``, and the check that it is still the same."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from marl_stl_agents.config import TrainConfig
from marl_stl_agents.run_directory import DATA, read_config, read_json
from marl_stl_agents.run_plugins import with_plugins
from marl_stl_env.config import DataConfig
from marl_stl_env.data.ingest.build import Format
from marl_stl_env.data.ingest.incoming import plain_format
from marl_stl_env.data.loaders import DATASETS
from marl_stl_env.data.passed import FRAME, TABLE, passed_table
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.data.registry import file_format, parse_options, text_options
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import RunError

if TYPE_CHECKING:
    import pandas as pd

#: A table in place of files.
Passed: TypeAlias = "TrafficTable | pd.DataFrame"


def config_at(run: Path, data_dir: Path | None, plugins: Iterable[str] = ()) -> TrainConfig:
    """The configuration of a run, its plugins imported.

    Args:
        run: The run directory.
        data_dir: The folder of the data files; None: where they were.
        plugins: Plugins that were given anew; see :func:`~.run_plugins.with_plugins`.

    Raises:
        RunError: If the run is damaged, or a plugin is missing or has changed.
        PluginError: If a plugin fails.
    """
    config = with_plugins(run, read_config(run), plugins)
    if data_dir is None:
        return config
    data = replace(config.env.data, data_dir=data_dir)
    return replace(config, env=replace(config.env, data=data))


def traffic_format(run: Path, data: DataConfig, options: tuple[str, ...]) -> Format:
    """How new traffic is written that a run can decide on: as the files of its data set.

    Args:
        run: The run directory.
        data: The run's data.
        options: How text is written where that differs from the training, each ``name=value``.

    Raises:
        ConfigError: If an option is not usable.
    """
    written = text_options(data.dataset, options)
    if TABLE in sources_of(run):
        return plain_format()
    return file_format(data.dataset, parse_options(data.dataset_options) | written)


def is_published(run: Path, data: DataConfig) -> bool:
    """Whether the columns of a run are those of a published data set, not of the user's own."""
    own = data.dataset == "custom" or DATASETS.is_own(data.dataset)
    return not own and TABLE not in sources_of(run)


def describe_data(prepared: PreparedData) -> dict[str, Any]:
    """What a run was trained on, as JSON has it, to be compared when it is evaluated."""
    facts = {
        "source": dict(prepared.raw.source),
        "splits": {
            name: {"events": len(table), "threats": int(table.labels.sum())}
            for name, table in prepared.tables.items()
        },
        "preprocessor": prepared.preprocessor.to_dict(),
    }
    plain: dict[str, Any] = json.loads(json.dumps(facts))
    return plain


def prepare_passed(config: TrainConfig, table: Passed | None) -> PreparedData:
    """The data of a new run: the data set of its settings, or a table that was passed.

    Raises:
        ConfigError: If the settings do not say what the columns of a frame are.
        DataError: If the data cannot be read, split or scaled.
    """
    return prepare(config.task, None if table is None else passed_table(config.env.data, table))


def prepare_again(run: Path, config: TrainConfig, table: Passed | None = None) -> PreparedData:
    """The data of a run, as it was in training.

    Args:
        run: The run directory.
        config: The run.
        table: The table that was passed to its training, if one was.

    Raises:
        RunError: If the data has changed, or the run needs a table and none is passed.
        DataError: If the data cannot be read.
    """
    kinds = [one for one in (FRAME, TABLE) if one in sources_of(run)]
    if kinds and table is None:
        raise RunError(
            f"{run} was trained on a {kinds[0]}; pass it again with table=, from "
            "Python: marl_stl_agents.evaluate(RUN, table=...)"
        )
    prepared = prepare_passed(config, table)
    check_data(run, prepared)
    return prepared


def sources_of(run: Path) -> dict[str, Any]:
    """What a run was trained on, by name, with its digest; empty before its data was read.

    Raises:
        RunError: If ``data.json`` is damaged.
    """
    if not (run / DATA).exists():
        return {}
    content = read_json(run / DATA)
    found = content.get("source") if isinstance(content, dict) else None
    if not isinstance(found, dict):
        raise RunError(f"{run / DATA} does not say what the run was trained on")
    return found


def check_data(run: Path, prepared: PreparedData) -> None:
    """Refuse data that differs from what a run was trained on.

    Raises:
        RunError: If it differs.
    """
    then, now = read_json(run / DATA), describe_data(prepared)
    if then != now:
        opinions = [one.get("preprocessor", {}).pop("opinions", None) for one in (then, now)]
        if then == now and all(opinions):
            raise RunError(
                f"the data is that of {run}, but its second opinions are others: they were fitted "
                "with another version of scikit-learn; use that one, or train the run anew"
            )
        raise RunError(
            f"the data differs from what {run} was trained on; point --data-dir to the same files"
        )
