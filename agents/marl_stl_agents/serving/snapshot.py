"""What a server remembers, in one file that is replaced as a whole."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from marl_stl_env.errors import ServingError
from marl_stl_env.files import atomic_path
from marl_stl_env.types import AnyArray

_FACTS, _TEAM = "facts", "team."
_VERSION = 2


@dataclass(frozen=True)
class Snapshot:
    """A moment of a server.

    Attributes:
        team: What the team remembers.
        facts: All else, in JSON types: where it is in its files, and what it counted.
    """

    team: Mapping[str, AnyArray]
    facts: Mapping[str, Any]

    def write(self, path: Path) -> None:
        """Replace the file.

        Raises:
            OutputError: If the disk is full; then the old snapshot stays.
        """
        facts = json.dumps({"version": _VERSION, **self.facts}).encode()
        arrays = {f"{_TEAM}{name}": array for name, array in self.team.items()}
        with atomic_path(path) as draft, draft.open("wb") as handle:
            np.savez(handle, allow_pickle=False, facts=np.frombuffer(facts, np.uint8), **arrays)

    @classmethod
    def read(cls, path: Path) -> Snapshot | None:
        """The snapshot in a file; None where there is no file.

        Raises:
            ServingError: If it is damaged, or of another version.
        """
        try:
            with path.open("rb") as handle, np.load(handle, allow_pickle=False) as found:
                facts = json.loads(found[_FACTS].tobytes())
                names = [name for name in found.files if name.startswith(_TEAM)]
                team = {name.removeprefix(_TEAM): found[name] for name in names}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ServingError(
                f"{path} is no state of a server ({error}); move it and the decisions beside it "
                "away to begin anew"
            ) from None
        if not isinstance(facts, dict) or facts.get("version") != _VERSION:
            raise ServingError(f"{path} is of another version; move it away to begin anew")
        return cls(team, facts)
