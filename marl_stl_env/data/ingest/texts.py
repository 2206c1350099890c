"""What a text field means: no value, a number, or a number in another notation."""

from __future__ import annotations

import re

#: Marks for "no value", in every column role; compared exactly, spaces around them aside.
MISSING = frozenset(
    [
        *("", "-", "?", "(empty)", "NA", "N/A", "n/a", "na", "#N/A", "<NA>", "<na>"),
        *("NaN", "nan", "NAN", "-nan", "-NaN", "NaT", "null", "NULL", "Null", "None", "\\N"),
        *("#NA", "#N/A N/A", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
    ]
)
_IPV4 = re.compile(r"\d{1,3}(\.\d{1,3}){3}")
_OTHER_NOTATION = re.compile(
    r"[+\u2212-]?(?:[$\u20ac\u00a3\u00a5]\s?)?(?:"
    r"\d{1,3}(?:(?P<group>[.,' \u00a0\u202f_])\d{3})(?:(?P=group)\d{3})*(?:[.,]\d+)?"  # 1.234,5
    r"|\d+,\d+(?:[eE][+-]?\d+)?"  # 1,5
    r"|\d+(?:[.,]\d+)?\s?%"
    r"|\d+(?:[.,]\d+)?\s(?:[kKMGTP]i?[bB]?|[bB](?:ytes)?)"  # 1.2 M, 512 B
    r"|\d+[.,]\d+[kKMGTP]|\d+(?:[.,]\d+)?[kKMGTP]i?B"  # 1.2M and 512KB, but not 5G
    r"|\d+(?:[.,]\d+)?\s?(?:ns|us|\u00b5s|ms|sec)"
    r"|\d+(?:[.,]\d+)?\s?[$\u20ac\u00a3\u00a5]"
    r"|\(\d+(?:[.,]\d+)?\)"  # an accountant's -12.5
    r"|\d+(?:\.\d*)?[dD][+-]?\d+"  # Fortran's 1.0D+02
    r"|0[xX][0-9a-fA-F]+"
    r")"
)
_WHOLE = re.compile(r"([+-]?\d+)\.0+")
#: A plain number behind a sign of money or the true minus sign.
_SIGNED = re.compile(r"[+-]?(?:\u2212|[$\u20ac\u00a3\u00a5]\s?)\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")


def is_number(text: str) -> bool:
    """Whether a text reads as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def is_other_number(text: str) -> bool:
    """Whether a text looks like a number in another notation: 1.234,5, 12 %, 0x1f, 1.2 M, $5."""
    text = text.strip()
    other = _OTHER_NOTATION.fullmatch(text) or _SIGNED.fullmatch(text)
    return other is not None and not _IPV4.fullmatch(text)


def as_category(text: str, missing: frozenset[str] = MISSING) -> str:
    """The name of a category; all marks for "no value" share the empty name.

    Whole numbers have one name, however the file spells them: pandas writes the port 80 as 80.0
    where one row has none.
    """
    name = text.strip()
    if name in missing:
        return ""
    whole = _WHOLE.fullmatch(name)
    return whole[1] if whole else name


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
