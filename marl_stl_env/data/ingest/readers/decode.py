"""One form for every Arrow column, whoever wrote it."""

from __future__ import annotations

from typing import Any

_UNIT_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def decoded(array: Any) -> Any:
    """A column in its plain form.

    Dictionaries and run-end encoded columns are spelled out, whatever their index type; text and
    binary of every layout becomes ``binary``; decimals, half floats and durations (in seconds)
    become ``float64``, but decimals without a fraction ``int64`` or, where they are longer, text
    in ``binary``; dates become timestamps. All else is returned as it is.

    Args:
        array: An Arrow array.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types

    kind = array.type
    if types.is_dictionary(kind):
        return decoded(array.dictionary.take(array.indices.cast(pa.int64())))
    if types.is_run_end_encoded(kind):
        return decoded(pc.run_end_decode(array))
    if isinstance(kind, pa.BaseExtensionType):
        return decoded(array.storage)
    if types.is_duration(kind):
        counts = array.cast(pa.int64()).cast(pa.float64(), safe=False)
        return pc.multiply(counts, _UNIT_SECONDS[kind.unit])
    if types.is_decimal(kind) and kind.scale == 0:
        return _whole(array)
    target = _target(kind)
    return array if target is None else array.cast(target)


def _whole(array: Any) -> Any:
    """Decimals without a fraction, every digit kept."""
    import pyarrow as pa

    try:
        return array.cast(pa.int64())
    except pa.ArrowInvalid:
        return array.cast(pa.string()).cast(pa.binary())


def _target(kind: Any) -> Any:
    """The plain type that a type is cast to, or None where it is plain."""
    import pyarrow as pa
    from pyarrow import types

    if _is_text(kind):
        return pa.binary()
    if types.is_decimal(kind) or types.is_float16(kind) or types.is_null(kind):
        return pa.float64()
    return pa.timestamp("ms") if types.is_date(kind) else None


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    tests = (
        types.is_string, types.is_large_string, types.is_string_view, types.is_binary,
        types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary,
    )  # fmt: skip
    return any(test(kind) for test in tests)
