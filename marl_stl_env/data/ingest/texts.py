"""What a text field means: no value, a number, or a number in another notation."""

from __future__ import annotations

import re

#: Marks for "no value", in every column role; compared exactly, spaces around them aside.
MISSING = frozenset(
    [
        *("", "-", "?", "(empty)", "NA", "N/A", "n/a", "na", "#N/A", "<NA>", "<na>"),
        *("NaN", "nan", "NAN", "-nan", "-NaN", "NaT", "null", "NULL", "Null", "None"),
    ]
)
_IPV4 = re.compile(r"\d{1,3}(\.\d{1,3}){3}")
_OTHER_NOTATION = re.compile(
    r"[+-]?(?:"
    r"\d{1,3}(?:(?P<group>[.,' \u00a0\u202f_])\d{3})(?:(?P=group)\d{3})*(?:[.,]\d+)?"  # 1.234,5
    r"|\d+,\d+(?:[eE][+-]?\d+)?"  # 1,5
    r"|\d+(?:[.,]\d+)?\s?%"
    r"|0[xX][0-9a-fA-F]+"
    r")"
)


def is_number(text: str) -> bool:
    """Whether a text reads as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def is_other_number(text: str) -> bool:
    """Whether a text looks like a number in another notation: 1.234,5 or 1,5 or 12 % or 0x1f."""
    text = text.strip()
    return bool(_OTHER_NOTATION.fullmatch(text)) and not _IPV4.fullmatch(text)


def as_category(text: str, missing: frozenset[str] = MISSING) -> str:
    """The name of a category; all marks for "no value" share the empty name."""
    name = text.strip()
    return "" if name in missing else name


def as_text_category(text: str, missing: frozenset[str] = MISSING) -> str:
    """The name of a category in a column that was recognised as text.

    Raises:
        ValueError: If it reads as a number, in whatever notation.
    """
    name = as_category(text, missing)
    if name and is_number(name):
        raise ValueError(
            f"{name!r} is a number, though other rows hold text; mend the column, drop= it, or "
            "take it for text with categorical="
        )
    if is_other_number(name):
        raise ValueError(
            f"{name!r} looks like a number in another notation; write it as in 1234.5 (pandas: "
            "read_csv(decimal=..., thousands=...), then frame=), or take the column for text with "
            "categorical="
        )
    return name
