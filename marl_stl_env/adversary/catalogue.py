"""Where constraints are found: in the settings, in a file, or among those of the data sets."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from marl_stl_env.adversary.constraints import Constraints
from marl_stl_env.config.adversary import AdversaryConfig
from marl_stl_env.errors import ConfigError

_FOLDER = files("marl_stl_env.adversary") / "limits"
_SUFFIX = ".json"


def known_constraints() -> tuple[str, ...]:
    """The data sets that have constraints of their own."""
    names = (entry.name for entry in _FOLDER.iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)))


def find_constraints(config: AdversaryConfig, dataset: str) -> Constraints:
    """The constraints of an adversary: its own, or those of the data set.

    Args:
        config: The adversary.
        dataset: Name of the data set.

    Raises:
        ConfigError: If there are none, or they cannot be read.
        UnknownNameError: If they have an entry that nothing is known of.
    """
    if config.mutable or config.sums or config.rates:
        return Constraints.from_plain(
            {name: _parsed(name, getattr(config, name)) for name in ("mutable", "sums", "rates")}
        )
    if config.constraints is not None:
        try:
            text = config.constraints.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{config.constraints} cannot be read: {error}") from None
        return _from_text(text, str(config.constraints))
    if dataset not in known_constraints():
        raise ConfigError(
            f"nothing is known of what an attacker may change in {dataset!r}; name columns with "
            'mutable={"COLUMN": {"high": 4.0}}, give a file with constraints= (--constraints), or '
            "take one of "
            f"{', '.join(known_constraints())}"
        )
    return _from_text((_FOLDER / f"{dataset}{_SUFFIX}").read_text(encoding="utf-8"), dataset)


def _from_text(text: str, what: str) -> Constraints:
    try:
        return Constraints.from_plain(json.loads(text))
    except json.JSONDecodeError as error:
        raise ConfigError(f"the constraints {what} are not JSON: {error}") from None


def _parsed(field: str, texts: tuple[str, ...]) -> dict[str, Any]:
    """Texts ``name=JSON`` as a mapping."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            equals = ""
        if not equals:
            raise ConfigError(f"{field} holds {text!r:.80}: write every entry as name=JSON")
    return found
