"""Command lines from the configuration classes; typed errors become one line on stderr.

A configuration's fields become flags without a prefix, its docstring their help.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeVar, get_type_hints

import tyro
from docstring_parser import parse
from tyro.constructors import (
    ConstructorRegistry,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from marl_stl_agents.printable import printable
from marl_stl_env.errors import MarlStlError

_Config = TypeVar("_Config")

#: Exit status of a command whose input was refused.
REFUSED = 2
#: Exit status of a command that the keyboard interrupted, as shells have it (128 + SIGINT).
INTERRUPTED = 130
_REPEATABLE: Any = tyro.conf.UseAppendAction
#: The registered environments, by the dynamics that a configuration names.
ENVIRONMENTS = {"Traffic-v0": "replay", "TrafficResponse-v0": "response"}


def run_command(
    config_type: type[_Config],
    action: Callable[[_Config], None],
    description: str,
    presets: Mapping[str, _Config] | None = None,
    python_only: frozenset[str] = frozenset(),
    arguments: Iterable[str] | None = None,
) -> int:
    """Parse the command line into a configuration and act on it.

    Args:
        config_type: A frozen dataclass; its fields become flags.
        action: What to do with it.
        description: Shown by ``--help``.
        presets: Other defaults, chosen by ``--preset``, which must be one of the fields.
        python_only: Fields that are not offered as flags and keep their defaults.
        arguments: The command line; None takes ``sys.argv``.

    Returns:
        0, 2 where the input was refused, or 130 where the keyboard interrupted it.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    write_any_text()
    try:
        default = chosen_preset(presets, given) if presets else None
        action(parse_config(config_type, given, description, default, python_only))
    except MarlStlError as error:
        return refuse(error)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    return 0


class Main(Protocol):
    """Runs a command: takes its command line (None is ``sys.argv``), returns the exit status."""

    def __call__(self, arguments: list[str] | None = None) -> int:
        """Run the command."""


def command(
    config_type: type[_Config],
    action: Callable[[_Config], None],
    description: str,
    presets: Mapping[str, _Config] | None = None,
    python_only: frozenset[str] = frozenset(),
) -> Main:
    """The ``main`` of a command.

    The arguments are those of :func:`run_command`.
    """

    def main(arguments: list[str] | None = None) -> int:
        return run_command(config_type, action, description, presets, python_only, arguments)

    return main


def write_any_text() -> None:
    """Let standard output escape what its encoding lacks, as standard error does, and not fail.

    Names of columns and hosts may have any letters, and a pipe on Windows has few.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def refuse(error: MarlStlError) -> int:
    """Print a typed error as one line on stderr, and return the exit status for it."""
    sys.stderr.write(f"{type(error).__name__}: {printable(str(error))}\n")
    return REFUSED


def parse_config(
    config_type: type[_Config],
    arguments: list[str],
    description: str,
    default: _Config | None = None,
    python_only: frozenset[str] = frozenset(),
    prog: str | None = None,
) -> _Config:
    """The configuration that a command line describes.

    Args:
        config_type: A frozen dataclass; its fields become flags.
        arguments: The command line.
        description: Shown by ``--help``.
        default: Where the flags start from; None takes the class's own defaults.
        python_only: Fields that are not offered as flags and keep their defaults.
        prog: The command's name in ``--help``.

    Raises:
        SystemExit: After ``--help``, or if a flag cannot be parsed.
        ConfigError: If the configuration is not valid.
    """
    with _printable_stderr():
        return tyro.cli(
            config_type,
            prog=prog,
            args=[at_home(argument) for argument in arguments],
            description=description,
            default=tyro.MISSING_NONPROP if default is None else default,
            config=(tyro.conf.OmitArgPrefixes,),
            registry=_registry(python_only),
        )


def at_home(argument: str) -> str:
    """An argument with the home folder for ``~``, which a shell leaves after a flag's ``=``."""
    flag, equals, value = argument.partition("=")
    if argument.startswith("~/"):
        return str(Path(argument).expanduser())
    if flag.startswith("--") and value.startswith("~/"):
        return f"{flag}{equals}{Path(value).expanduser()}"
    return argument


@contextmanager
def _printable_stderr() -> Iterator[None]:
    """Messages of the parser repeat what was typed: without control characters."""
    written = io.StringIO()
    try:
        with redirect_stderr(written):
            yield
    finally:
        lines = written.getvalue().splitlines()
        sys.stderr.write("".join(f"{printable(line)}\n" for line in lines))


def _registry(python_only: frozenset[str]) -> ConstructorRegistry:
    """How configurations are taken apart into flags and put together again."""
    registry = ConstructorRegistry()

    @registry.struct_rule
    def configuration(info: StructTypeInfo) -> StructConstructorSpec | None:
        kind = info.type
        if not (is_dataclass(kind) and isinstance(kind, type)):
            return None
        start = info.default if isinstance(info.default, kind) else None
        hints, helptexts = get_type_hints(kind, include_extras=True), _helptexts(kind)
        offered = [item for item in fields(kind) if item.name not in python_only]
        specs = tuple(
            _flag(item, hints[item.name], start, helptexts.get(item.name)) for item in offered
        )

        def build(**values: Any) -> Any:
            if "env_id" in values:
                values["dynamics"] = ENVIRONMENTS[values.pop("env_id")]
            return kind(**values) if start is None else replace(start, **values)

        return StructConstructorSpec(instantiate=build, fields=specs)

    return registry


def _flag(
    item: Field[Any], hint: Any, start: object | None, helptext: str | None
) -> StructFieldSpec:
    """One field as a flag; ``dynamics`` goes by the name of the registered environment."""
    default = _default(item) if start is None else getattr(start, item.name)
    if item.name == "dynamics":
        names = {dynamics: name for name, dynamics in ENVIRONMENTS.items()}
        hint = Annotated[Literal["Traffic-v0", "TrafficResponse-v0"], tyro.conf.arg(name="env")]
        return StructFieldSpec("env_id", hint, names[default], helptext)
    if item.name == "plugins":  # --plugin A --plugin B
        hint = Annotated[hint, tyro.conf.arg(name="plugin", metavar="MODULE"), _REPEATABLE]
    return StructFieldSpec(item.name, hint, default, helptext)


def _default(item: Field[Any]) -> Any:
    if item.default is not MISSING:
        return item.default
    return tyro.MISSING if item.default_factory is MISSING else item.default_factory()


def _helptexts(config_type: type[Any]) -> dict[str, str]:
    """The ``Attributes`` of a configuration's docstring, those of its base classes included."""
    found: dict[str, str] = {}
    for kind in reversed(config_type.__mro__):
        for entry in parse(kind.__doc__ or "").params:
            text = (entry.description or "").replace("``", "")
            found[entry.arg_name] = " ".join(text.split())
    return found


@dataclass(frozen=True)
class _Choice:
    """The one flag that is read before the others."""

    preset: str | None = None


def chosen_preset(presets: Mapping[str, _Config], arguments: list[str]) -> _Config | None:
    """The defaults that ``--preset`` names; None without it, or where the name is unknown."""
    choice, _ = tyro.cli(_Choice, args=arguments, return_unknown_args=True, add_help=False)
    return presets.get(choice.preset) if choice.preset is not None else None
