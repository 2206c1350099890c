"""The run directory: what a training leaves behind, and how it is found again."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields, is_dataclass
from datetime import datetime
from difflib import get_close_matches
from fnmatch import fnmatch
from itertools import count
from pathlib import Path
from shlex import quote
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from marl_stl_agents.config import TrainConfig
from marl_stl_env.config import Split
from marl_stl_env.data.preprocess import Preprocessor
from marl_stl_env.errors import LockedError, RunError, RunLockedError, TableError
from marl_stl_env.files import clear_drafts, locked, output_errors, write_text

RUNS = Path("runs")
CHECKPOINTS, PROGRESS, EVENTS = "checkpoints", "progress.csv", "events.out.tfevents.*"
PLUGINS = "plugins.json"
CONFIG, DATA, EVALUATION, VALIDATION, CHECKLIST = (
    "config.json",
    "data.json",
    "evaluation.json",
    "validation.json",
    "checklist.json",
)
#: What new traffic is compared with.
DRIFT = "drift.npz"
#: Of a folder with several runs that differ in their seed alone.
SEEDS = "seeds.json"
#: The settings of a training in turns against attackers.
TURNS = "redteam.json"
#: The names that a training, an evaluation or a decision writes to.
_OWN = (
    *(PLUGINS, CONFIG, DATA, EVALUATION, VALIDATION, "train.json", CHECKLIST, CHECKPOINTS, DRIFT),
    *("progress*.csv", EVENTS, "curves.png", "report*.html", "decisions.*"),
    *(SEEDS, "seed_[0-9]*", "seeds*.html"),
)

_CONFIG_ADAPTER = TypeAdapter(TrainConfig)


def new_run(config: TrainConfig) -> Path:
    """Make the run directory and write the configuration into it.

    Raises:
        RunError: If the directory already holds a run, or what is left of one.
    """
    run = make_folder(config)
    check_vacant(run)
    write_config(run, config)
    return run


def make_folder(config: TrainConfig) -> Path:
    """The folder of a new run: the one that was asked for, or one with an unused name.

    Raises:
        OutputError: If it cannot be made.
    """
    if config.run_dir is not None:
        with output_errors(config.run_dir):
            config.run_dir.mkdir(parents=True, exist_ok=True)
        return config.run_dir
    name = f"{datetime.now():%Y%m%d-%H%M%S}-{config.env.data.dataset}"
    for number in count(1):
        run = RUNS / (name if number == 1 else f"{name}-{number}")
        with output_errors(run):
            try:
                run.mkdir(parents=True)
            except FileExistsError:  # another training began in the same second
                continue
        break
    return run


def check_vacant(run: Path | None) -> None:
    """Refuse a folder with files that a training writes; other files may be there.

    Args:
        run: The folder; None, or one that does not exist, is vacant.

    Raises:
        RunError: If there are any.
    """
    if run is None or not run.is_dir():
        return
    found = sorted(path.name for path in run.iterdir() if _is_own(path.name))
    if CONFIG in found:
        raise RunError(
            f"{run} already holds a run; continue it with --resume {quote(str(run))}, or choose "
            "another --run-dir"
        )
    if found:
        raise RunError(
            f"{run} holds {', '.join(found[:5])}, left by another run; choose another --run-dir, "
            "or move them away"
        )


def check_output(run: Path, file: Path) -> None:
    """Refuse to write over what a training or an evaluation left in a run directory.

    Raises:
        RunError: If the file is one of those.
    """
    home, target = run.resolve(), file.resolve()
    inside = target.relative_to(home).parts if target.is_relative_to(home) else ()
    if inside and _is_own(inside[0]):
        raise RunError(f"{file} belongs to the run {run}; choose another file to write to")


@contextmanager
def locked_run(run: Path) -> Iterator[None]:
    """Keep every other training out of a run directory, and tidy up after killed ones.

    Raises:
        RunLockedError: If another process trains there.
        OutputError: If the directory cannot be written to.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(run))
        except LockedError as error:
            raise RunLockedError(
                f"the run {run} is being trained by process {error.pid} on {error.host}; wait for "
                "it to end, or choose another --run-dir"
            ) from None
        clear_drafts(run)
        clear_drafts(run / CHECKPOINTS)
        yield


def find_run(run: Path | None) -> Path:
    """The run directory given, or the newest under ``runs``.

    Raises:
        RunError: If there is none, or a link in it leads elsewhere.
    """
    if run is None:
        runs = sorted(RUNS.glob(f"*/{CONFIG}"), key=lambda path: path.lstat().st_mtime)
        if not runs:
            raise RunError(f"no run under {RUNS.resolve()}; train one with `marl-stl-train`")
        run = runs[-1].parent
    try:
        _check_entries(run)
    except OSError as error:
        raise RunError(f"{run} cannot be read: {error.strerror}") from None
    if (run / SEEDS).is_file():
        raise RunError(f"{run} holds a run for every seed; give one of them: {run / 'seed_...'}")
    if not (run / CONFIG).is_file():
        raise RunError(f"{run} is not a run directory: it has no {CONFIG}")
    return run


def _check_entries(run: Path) -> None:
    """Refuse what would make a reader or a writer leave the run directory, or wait for ever.

    Raises:
        RunError: If an entry is a link that leads out of it, or neither a file nor a folder.
    """
    if not run.is_dir():
        return
    home = os.path.realpath(run)
    own = [path for path in run.iterdir() if _is_own(path.name)]
    for path in [*own, *(run / CHECKPOINTS).rglob("*")]:
        target = Path(os.path.realpath(path))  # resolve() raises at a circle of links
        if not target.is_relative_to(home) or (path.is_symlink() and not target.exists()):
            raise RunError(
                f"{path} is a link to {target}, outside the run or nowhere; put the file itself in "
                "its place"
            )
        if target.exists() and not (target.is_file() or target.is_dir()):
            raise RunError(f"{path} is neither a file nor a folder; remove it")


def _is_own(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in _OWN)


def write_config(run: Path, config: TrainConfig) -> None:
    """Write the configuration of a run."""
    write_json(run / CONFIG, config_as_json(config))


def config_as_json(config: TrainConfig) -> dict[str, Any]:
    """A configuration as JSON has it."""
    plain: dict[str, Any] = _CONFIG_ADAPTER.dump_python(config, mode="json")
    return plain


def read_config(run: Path) -> TrainConfig:
    """The configuration that the run was trained with.

    Raises:
        RunError: If the file is damaged, or its settings are not exactly those of this version.
    """
    path = run / CONFIG
    return config_from_json(path, read_json(path))


def read_older_config(run: Path) -> tuple[TrainConfig, tuple[str, ...]]:
    """The configuration of a run to be trained anew, which an older version may have begun.

    Returns:
        The configuration, and the settings that the file lacks: they have this version's defaults.

    Raises:
        RunError: If the file is damaged, or holds settings that this version does not know.
    """
    path, lacking = run / CONFIG, list[str]()
    content = _completed(read_json(path), config_as_json(TrainConfig()), "", lacking)
    return config_from_json(path, content), tuple(lacking)


def _completed(content: Any, usual: Any, prefix: str, lacking: list[str]) -> Any:
    """Settings with the usual ones where they have none; ``lacking`` takes the names of those."""
    if not (isinstance(content, dict) and isinstance(usual, dict)):
        return content
    lacking += [f"{prefix}{name}" for name in usual if name not in content]
    return {
        **{name: value for name, value in usual.items() if name not in content},
        **{n: _completed(v, usual.get(n), f"{prefix}{n}.", lacking) for n, v in content.items()},
    }


def config_from_json(path: Path, content: Any) -> TrainConfig:
    """The configuration that :func:`config_as_json` gave.

    Args:
        path: The file that it stands in.
        content: What was read.

    Raises:
        RunError: If its settings are not exactly those of this version.
    """
    _check_keys(path, TrainConfig, content)
    try:
        return _CONFIG_ADAPTER.validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        problem = f"{place}: {first['msg']}" if place else first["msg"]
        raise RunError(f"{path} is not a configuration of this version: {problem}") from None


def _check_keys(path: Path, kind: type[Any], content: Any, prefix: str = "") -> None:
    """Refuse settings that are unknown or missing, in nested configurations too.

    Raises:
        RunError: If there are any.
    """
    if not isinstance(content, dict):
        raise RunError(f"{path} is no configuration: {prefix or 'it'} holds no settings")
    hints, known = get_type_hints(kind), [item.name for item in fields(kind)]
    run = quote(str(path.parent)) if path.name == CONFIG else "RUN"
    for name in content:
        if name not in known:
            (nearest,) = get_close_matches(name, known, n=1, cutoff=0.0)
            raise RunError(
                f"{path} has the unknown setting {prefix + name!r} (the nearest known one is "
                f"{prefix + nearest!r}); if a newer version wrote it, update marl-stl-env; else "
                "correct it"
            )
    for name in known:
        if name not in content:
            raise RunError(
                f"{path} lacks the setting {prefix + name!r}, which an older version may not have "
                f"had; add it, or train the run anew: marl-stl-train --restart {run}"
            )
        if is_dataclass(hints[name]):
            _check_keys(path, hints[name], content[name], f"{prefix}{name}.")


def saved_preprocessor(run: Path) -> Preprocessor:
    """The scaling and encoding that a run was trained with.

    Raises:
        RunError: If ``data.json`` is missing or damaged.
    """
    content = read_json(run / DATA)
    try:
        return Preprocessor.from_dict(content["preprocessor"])
    except (KeyError, TypeError, TableError) as error:
        raise RunError(f"{run / DATA} does not describe the data of a run: {error}") from None


def evaluation_file(run: Path, split: Split) -> Path:
    """Where the figures of a rollout stand."""
    return run / (EVALUATION if split == "test" else f"{split}.json")


def report_file(run: Path, split: Split) -> Path:
    """Where the report of a rollout stands."""
    return run / ("report.html" if split == "test" else f"report-{split}.html")


def write_json(path: Path, content: Any) -> None:
    """Write plain data as JSON, whole or not at all."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read plain data.

    Raises:
        RunError: If the file is missing or damaged, has a key twice or a number that is not finite.
    """
    try:
        return json.loads(
            path.read_text(encoding="utf-8"),
            parse_constant=_refuse,
            parse_float=_finite,
            object_pairs_hook=_object,
        )
    except FileNotFoundError:
        raise RunError(f"{path} is missing; the run is not complete") from None
    except (ValueError, RecursionError, OSError) as error:
        raise RunError(f"{path} is damaged: {error}") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:30]} is too large a number")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands there twice")
    return content
