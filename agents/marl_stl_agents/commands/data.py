"""Look at data sets before anything is trained on them: ``marl-stl-data``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.markup import escape

from marl_stl_agents.command_line import INTERRUPTED, REFUSED, parse_config, refuse, write_any_text
from marl_stl_agents.commands.options import PYTHON_ONLY
from marl_stl_env.config import EnvConfig
from marl_stl_env.data.ingest.cache import cache_dir, clear_cache
from marl_stl_env.data.registry import dataset_info, datasets
from marl_stl_env.errors import ConfigError, MarlStlError, UnknownNameError
from marl_stl_env.plugins import load_plugins

_console = Console()
_USAGE = """\
usage: marl-stl-data COMMAND

  list                     the known data sets
  describe NAME            content, licence, citation, dropped columns and known defects
  check NAME [settings]    splits, duplicates, leak suspects, and the best that can be learned;
                           settings are those of train.py's environment (check --help), such as
                           --data-dir DIR, --threat-rate 0.109, or
                           --dataset-options path=flows.csv label=is_attack;
                           --split test evaluates on the test split instead of validation
  download NAME            fetch a data set from its publisher
  clear                    remove all but the downloads from the cache

  --plugin MODULE          first import a module with data sets of your own (its name, or the path
                           of its .py file); may be repeated"""


def _list() -> None:
    for name in datasets():
        _console.print(f"[bold]{name:<14}[/] {escape(dataset_info(name).summary)}", soft_wrap=True)


def _describe(name: str) -> None:
    for line in describe(name):
        _console.print(escape(line), soft_wrap=True, highlight=False)


def describe(name: str) -> list[str]:
    """What is known about a data set, in lines.

    Raises:
        UnknownNameError: If there is no such data set.
    """
    info = dataset_info(name)
    lines = [f"{info.name}: {info.summary}", f"licence:  {info.licence}"]
    lines += [f"citation: {info.citation}"]
    if info.homepage:
        by_hand = f"by hand into DATA_DIR/{info.folder}/"
        fetched = f"`marl-stl-data download {name}`, or {by_hand}" if info.downloads else by_hand
        lines += [f"from:     {info.homepage} ({fetched})"]
    for title, texts in (("left out", info.dropped), ("known defects", info.defects)):
        lines += [f"{title}:", *(f"  - {text}" for text in texts)] if texts else []
    return lines


def _check(name: str, *settings: str) -> None:
    from marl_stl_agents.console.diagnostics import show_preflight
    from marl_stl_agents.console.output import working
    from marl_stl_agents.diagnostics.preflight import preflight

    if name in ("-h", "--help"):
        name, settings = "synthetic", ("--help",)
    dataset_info(name)
    config = parse_config(
        EnvConfig,
        ["--dataset", name, *settings],
        "Check a data set: its splits, its labels, and what can be learned from it.",
        python_only=PYTHON_ONLY - {"split"},
        prog="marl-stl-data check NAME",
    )
    evaluated = "test" if config.split == "test" else "validation"
    with working(_console) as step:
        report = preflight(config, evaluated=evaluated, say=step)  # type: ignore[arg-type]
    show_preflight(report, _console)


def _download(name: str) -> None:
    from marl_stl_env.data.ingest.download import fetch

    _console.print(f"{name} is in {fetch(dataset_info(name))}", soft_wrap=True)


def _clear() -> None:
    _console.print(f"{clear_cache() / 1e6:,.0f} MB freed in {cache_dir()}", soft_wrap=True)


_COMMANDS: dict[str, Callable[..., None]] = {
    "list": _list, "describe": _describe, "check": _check, "download": _download, "clear": _clear,
}  # fmt: skip
_ARGUMENTS = {"list": (0, 0), "describe": (1, 1), "check": (1, 10**6), "download": (1, 1)}


def _plugins(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What the flags ``--plugin`` name, and the other arguments.

    Raises:
        ConfigError: If one names nothing.
    """
    plugins, others, coming = [], [], iter(arguments)
    for argument in coming:
        flag, equals, value = argument.partition("=")
        if flag != "--plugin":
            others.append(argument)
            continue
        name = value if equals else next(coming, "")
        if not name:
            raise ConfigError("--plugin needs the name of a module, or the path of a .py file")
        plugins.append(name)
    return plugins, others


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The command line; None takes ``sys.argv``.

    Returns:
        The exit status: 0, or 2 where the input was refused.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    write_any_text()
    if not given or given[0] in ("-h", "--help"):
        _console.print(_USAGE, highlight=False, markup=False, soft_wrap=True)
        return 0 if given else REFUSED
    try:
        plugins, given = _plugins(given)
        load_plugins(plugins)
        command, *rest = given or [""]
        if command not in _COMMANDS:
            raise UnknownNameError("command", command, _COMMANDS)
        least, most = _ARGUMENTS.get(command, (0, 0))
        if not least <= len(rest) <= most:
            asked = "the name of a data set" if least else "nothing more"
            raise ConfigError(
                f"marl-stl-data {command} takes {asked}, not {' '.join(rest) or 'nothing'}; "
                "marl-stl-data list shows the names"
            )
        if command == "check":
            rest += [f"--plugin={name}" for name in plugins]
        _COMMANDS[command](*rest)
    except MarlStlError as error:
        return refuse(error)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
