"""The sources by name, and the built-in mappings of their fields."""

from __future__ import annotations

import json
from importlib.resources import files

from marl_stl_env.data.ingest.sources import argus, nfdump, suricata, table, zeek
from marl_stl_env.data.ingest.sources.mapping import FieldMapping, mapping_of
from marl_stl_env.data.ingest.sources.source import Source
from marl_stl_env.errors import MappingError, UnknownNameError

#: The sources that are text, by name.
SOURCES: dict[str, Source] = {
    one.SOURCE.name: one.SOURCE for one in (zeek, suricata, nfdump, argus, table)
}
#: Files of packets and interfaces, through the library nfstream.
NFSTREAM = "nfstream"
#: The columns that all sources share.
FLOW = "flow"
NAMES = (*SOURCES, NFSTREAM)
_FOLDER = files("marl_stl_env.data.ingest.sources") / "mappings"


def source_named(name: str) -> Source:
    """A source of text.

    Raises:
        UnknownNameError: If there is none of this name.
    """
    if name not in SOURCES:
        raise UnknownNameError("source", name, NAMES)
    return SOURCES[name]


def built_in() -> tuple[tuple[str, str], ...]:
    """Source and schema of every built-in mapping."""
    found = (one.name.removesuffix(".json") for one in _FOLDER.iterdir() if "-" in one.name)
    return tuple(sorted((name.split("-", 1)[0], name.split("-", 1)[1]) for name in found))


def built_in_mapping(source: str, schema: str) -> FieldMapping:
    """A built-in mapping.

    Args:
        source: Name of the source.
        schema: A data set, or "flow" for the columns that all sources share.

    Raises:
        MappingError: If there is none.
    """
    if (source, schema) not in built_in():
        known = ", ".join(f"{one} to {other}" for one, other in built_in())
        raise MappingError(
            f"no built-in mapping leads from {source} to the columns of {schema}: there are "
            f"{known}. Write a mapping file (--mapping)"
        )
    name = f"{source}-{schema}.json"
    return mapping_of(json.loads((_FOLDER / name).read_text(encoding="utf-8")), name)
