"""New traffic of a sensor, led to the columns of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from marl_stl_env.data.encoding import NumericColumn
from marl_stl_env.data.ingest.batches import Batches
from marl_stl_env.data.ingest.build import Format
from marl_stl_env.data.ingest.readers.csv_rows import Dialect
from marl_stl_env.data.ingest.sources.apply import Columns
from marl_stl_env.data.ingest.sources.catalogue import (
    FLOW,
    NFSTREAM,
    built_in_mapping,
    source_named,
)
from marl_stl_env.data.ingest.sources.files import MalformedLines, line_batches, parquet_rows
from marl_stl_env.data.ingest.sources.kinds.table import SOURCE as TABLE
from marl_stl_env.data.ingest.sources.lines import LineReader
from marl_stl_env.data.ingest.sources.mapping import (
    FieldMapping,
    fields_of,
    read_mapping,
    same_names,
)
from marl_stl_env.data.ingest.sources.nfstream import flow_batches
from marl_stl_env.data.ingest.sources.source import Source
from marl_stl_env.data.preprocess import Preprocessor
from marl_stl_env.errors import MappingError

#: Columns of the schema "flow" that a run may call by other names.
_TIME, _ENTITY = "time", "entity"


@dataclass(frozen=True)
class SourceOptions:
    """What new traffic is, where it is not written as the training files were.

    Attributes:
        source: Name of what wrote it; None takes that of the mapping, or a table.
        mapping: Mapping file; None takes the built-in mapping to the columns of the data set.
    """

    source: str | None = None
    mapping: Path | None = None

    def __bool__(self) -> bool:
        return self.source is not None or self.mapping is not None


@dataclass(frozen=True, eq=False)
class RunColumns:
    """The columns of new traffic that a run has a use for.

    Attributes:
        preprocessor: The scaling of its features.
        form: How its training files were written.
        schema: The schema of the built-in mappings: the name of its data set, or "flow".
        further: Columns beside its own: those to keep, verdicts.
    """

    preprocessor: Preprocessor
    form: Format
    schema: str
    further: Sequence[str] = field(default=())

    @property
    def numeric(self) -> frozenset[str]:
        """Its columns that are numbers, the time among them."""
        columns = self.preprocessor.columns
        found = {column.name for column in columns if isinstance(column, NumericColumn)}
        return frozenset(found | self.needed)

    @property
    def needed(self) -> frozenset[str]:
        """Its column that every record must have: the time, where there is one."""
        return frozenset() if self.form.clock is None else frozenset([self.form.clock])

    @property
    def names(self) -> tuple[str, ...]:
        """All of them but the further ones."""
        form = self.form
        others = [name for name in (form.clock, form.entity) if name is not None]
        return tuple(dict.fromkeys((*self.preprocessor.inputs, *others, *form.labels)))


def mapping_for(options: SourceOptions, columns: RunColumns) -> tuple[str, FieldMapping]:
    """The name of the source, and the mapping to the columns of a run.

    Raises:
        MappingError: If there is none, or it does not fit the source or the run.
    """
    mapping = None if options.mapping is None else read_mapping(options.mapping)
    source = options.source or (mapping and mapping.source) or TABLE.name
    if mapping is None:
        return source, _built_in(source, columns).keeping(columns.further)
    if mapping.source not in (None, source):
        raise MappingError(
            f"{mapping.file} is for the source {mapping.source}, not {source}; leave --source out"
        )
    unknown = [name for name in mapping.columns if name not in columns.names]
    if unknown:
        raise MappingError(
            f"{mapping.file} gives {', '.join(unknown)}, which the run does not have; its columns "
            f"are {', '.join(columns.names)}"
        )
    return source, mapping.keeping(columns.further)


def _built_in(source: str, columns: RunColumns) -> FieldMapping:
    if source == TABLE.name:
        return same_names(columns.names)
    mapping = built_in_mapping(source, columns.schema)
    if columns.schema == FLOW:
        own = {_TIME: columns.form.clock, _ENTITY: columns.form.entity}
        mapping = mapping.renamed({name: new for name, new in own.items() if new is not None})
    return mapping.only(columns.names)


def columns_of(source: str, mapping: FieldMapping, columns: RunColumns) -> Columns:
    """What makes the columns of a run."""
    times = {} if source == NFSTREAM else dict(source_named(source).times)
    for name in columns.needed:
        for one in fields_of(mapping.columns.get(name, ())):
            times.setdefault(one, tuple(columns.form.times))
    return Columns(
        mapping, columns.numeric, times, columns.needed, _dialect(source, columns).missing
    )


def _dialect(source: str, columns: RunColumns) -> Dialect:
    """How text is written: a table as the training files were, others as their source has it."""
    return (columns.form.dialect if source == TABLE.name else None) or Dialect()


def _written(source: str, columns: RunColumns) -> Source:
    """The kind of a source's lines."""
    kind = source_named(source)
    return replace(kind, sep=_dialect(source, columns).sep) if source == TABLE.name else kind


def line_reader(file: str, options: SourceOptions, columns: RunColumns) -> LineReader:
    """A reader of the lines of a file, growing or not, that gives the columns of a run.

    Args:
        file: Name of the file, for messages.
        options: What wrote it.
        columns: The columns of the run.

    Raises:
        MappingError: If the fields do not lead to these columns.
        UnknownNameError: If there is no such source of lines.
    """
    source, mapping = mapping_for(options, columns)
    return LineReader(file, _written(source, columns), columns_of(source, mapping, columns))


def open_source(
    path: Path, options: SourceOptions, columns: RunColumns, malformed: MalformedLines
) -> Batches:
    """Open a file of a source, or with "nfstream" a file of packets.

    Args:
        path: The file.
        options: What wrote it.
        columns: The columns of the run.
        malformed: Takes the lines that are no records.

    Raises:
        DataError: If it cannot be read, or its fields do not lead to these columns.
        MissingLibraryError: If nfstream is needed and not installed.
    """
    source, mapping = mapping_for(options, columns)
    made = columns_of(source, mapping, columns)
    if source == NFSTREAM:
        return flow_batches(path, made, malformed)
    if source == TABLE.name and path.suffix.lower() in (".parquet", ".pq"):
        return parquet_rows(path, made, malformed)
    return line_batches(path, LineReader(str(path), _written(source, columns), made), malformed)
