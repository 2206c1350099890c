"""Names, and what is registered under them: the one implementation behind ``register_*``.

The project's own entries and those of users live side by side and are found in the same way.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from marl_stl_env.errors import MarlStlError, PluginError, UnknownNameError

_Entry = TypeVar("_Entry")
_Decorated = TypeVar("_Decorated")
_OWN = str(Path(__file__).parent) + os.sep
_NAME = re.compile(r"[A-Za-z]\w*(-\w+)*")


class Registry(dict[str, _Entry]):
    """Name to entry, in the order of registration.

    Args:
        kind: What the entries are, in messages: "rule", "fault", ...
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self._origins: dict[str, object] = {}
        self._versions: dict[str, int] = {}
        _ALL.append(self)

    def add(self, name: str, entry: _Entry, origin: object, *, replace: bool = False) -> None:
        """Register an entry.

        Args:
            name: A letter, then letters, digits, ``_`` and single ``-``.
            entry: What is found under the name.
            origin: The user's function, class or module, which messages name.
            replace: Put it in the place of an entry of the user's own, as in a notebook.

        Raises:
            PluginError: If the name is malformed or taken.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise PluginError(
                f"{self.kind} name {name!r:.80}: a name is a letter, then letters, digits, _ and -"
            )
        if name in self and not (replace and self.is_own(name)):
            raise PluginError(
                f"{self.described(name)} is registered already; choose another name, or pass "
                "replace=True to put the new one in its place"
                if self.is_own(name)
                else f"{self.kind} {name!r} is built in; choose another name"
            )
        self[name] = entry
        self._origins[name], self._versions[name] = origin, next(_COUNTER)

    def find(self, name: str) -> _Entry:
        """The entry under a name.

        Raises:
            UnknownNameError: If there is none.
        """
        if name not in self:
            raise UnknownNameError(self.kind, name, self, _HINT)
        return self[name]

    def version(self, name: str) -> int:
        """A number that no other registration has, under this name or another; 0 of an unknown one.

        What is remembered about an entry is remembered by this number, since an entry need not be
        hashable.
        """
        return self._versions.get(name, 0)

    def is_own(self, name: str) -> bool:
        """Whether a user registered this name, and not the project."""
        return not module_of(self._origins.get(name)).startswith("marl_stl_env.")

    def builtin(self) -> tuple[str, ...]:
        """The names of the project's own entries."""
        return tuple(name for name in self if not self.is_own(name))

    def described(self, name: str) -> str:
        """An entry as messages name it: "rule 'median' (own_rule.median)"."""
        return f"{self.kind} {name!r} ({describe(self._origins.get(name))})"

    def snapshot(self) -> Callable[[], None]:
        """A function that takes back all registrations from here on."""
        entries, origins, versions = dict(self), dict(self._origins), dict(self._versions)

        def restore() -> None:
            self.clear()
            self.update(entries)
            self._origins, self._versions = origins, versions

        return restore

    def decorator(
        self,
        name: str,
        given: _Decorated | None,
        wrap: Callable[[Any], _Entry],
        *,
        replace: bool = False,
    ) -> Any:
        """What ``register_*(name, given)`` does, also as a decorator, without ``given``.

        Args:
            name: The name.
            given: The user's function or class; None makes a decorator of one.
            wrap: Turns it into an entry.
            replace: As in :meth:`add`.

        Returns:
            ``given``, or a decorator that gives back what it decorates.
        """

        def register(decorated: Any) -> Any:
            self.add(name, wrap(decorated), decorated, replace=replace)
            return decorated

        return register if given is None else register(given)


_ALL: list[Registry[Any]] = []
_COUNTER = count(1)
_HINT = (
    "one of your own is registered by importing its module first: --plugin MODULE, or plugins=(...)"
)


@contextmanager
def temporary_registrations() -> Iterator[None]:
    """Take back all registrations at the end of a block, as a test does."""
    restore = [registry.snapshot() for registry in _ALL]
    try:
        yield
    finally:
        for one in restore:
            one()


@contextmanager
def undone_on_error() -> Iterator[None]:
    """Take back all registrations of a block that raises."""
    restore = [registry.snapshot() for registry in _ALL]
    try:
        yield
    except BaseException:
        for one in restore:
            one()
        raise


def module_of(origin: object) -> str:
    """The module that a function, a class or an instance comes from."""
    if origin is None:
        return ""
    name = getattr(origin, "__module__", None) or getattr(origin, "__name__", None)
    return str(name or type(origin).__module__)


def describe(origin: object) -> str:
    """A function, a class or an instance, as its author knows it."""
    if isinstance(origin, ModuleType):
        return origin.__name__
    name = getattr(origin, "__qualname__", None) or type(origin).__qualname__
    return f"{module_of(origin)}.{name}"


def as_callable(given: Any) -> Any:
    """What is given, where it can be called.

    Raises:
        PluginError: If it cannot.
    """
    if not callable(given):
        raise PluginError(f"{given!r:.80} cannot be called; register a function")
    return given


@contextmanager
def blamed(what: str) -> Iterator[None]:
    """Report what a user's code raises as the user's error, by the name of what was called.

    Raises:
        PluginError: In place of any exception that is not one of this project's own.
    """
    try:
        yield
    except MarlStlError:
        raise
    except Exception as error:
        raise PluginError(
            f"{what} raised {type(error).__name__}: {error}{_place(error)}"
        ) from error


def _place(error: Exception) -> str:
    """The innermost line outside this package, as " (file, line 3)"; nothing without one."""
    place, trace = "", error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith(_OWN):
            place = f" ({file}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return place
