"""Figures as people read them. One way for the gate, the build's summary and the report."""

from __future__ import annotations

from collections.abc import Callable

MINUS = "\N{MINUS SIGN}"
SPACE = "\N{NO-BREAK SPACE}"


def percent(value: float, digits: int = 2) -> str:
    """A fraction: 0.0125 is ``1.25 %``."""
    return f"{_fixed(value * 100, digits)}{SPACE}%"


def points(value: float, digits: int = 2) -> str:
    """A difference of fractions, with its sign; 0 has none."""
    text = percent(value, digits)
    return f"+{text}" if value > 0 and text != percent(0, digits) else text


def megabytes(value: float, digits: int = 1) -> str:
    """Bytes, in units of 10^6."""
    return f"{_fixed(value / 1e6, digits)}{SPACE}MB"


def seconds(value: float, digits: int = 2) -> str:
    """Seconds."""
    return f"{_fixed(value, digits)}{SPACE}s"


def times(value: float, digits: int = 2) -> str:
    """A factor: ``1.90×``."""
    return f"{_fixed(value, digits)}×"


def count(value: float, digits: int = 0) -> str:
    """A whole number, with a thin space between thousands."""
    return f"{value:,.{digits}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def apart(write: Callable[[float, int], str], one: float, other: float) -> tuple[str, str]:
    """Both numbers with as many digits as it takes to tell them apart."""
    texts = "", ""
    for digits in range(2, 9):
        texts = write(one, digits), write(other, digits)
        if texts[0] != texts[1] or one == other:
            break
    return texts


def _fixed(value: float, digits: int) -> str:
    """No minus sign before a zero."""
    text = f"{value:.{digits}f}"
    return text.replace("-", "" if not text.strip("-0.") else MINUS)
