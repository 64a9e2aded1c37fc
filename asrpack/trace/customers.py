"""Whose marks to look for: a list that the vendor keeps."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from asrpack.errors import InputError

_COLUMN = "customer"
_MAX_BYTES = 64 << 20


def read_customers(path: Path) -> list[str]:
    """Customers' ids: one a line, or the column ``customer`` of a CSV file; each once.

    Raises:
        InputError: unreadable, not text, or without a customer.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise ValueError(f"it has over {_MAX_BYTES >> 20} MiB")
        text = data.decode("utf-8-sig")
        table = csv.DictReader(io.StringIO(text, newline=""))
        if _COLUMN in (table.fieldnames or ()):
            names = [row[_COLUMN] or "" for row in table]
        else:
            names = text.splitlines()
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(
            f"the list of customers cannot be read: {getattr(error, 'strerror', None) or error}",
            code="customers-unreadable",
            place=str(path),
            remedy="give a text file with one id a line, or CSV with a column `customer`",
        ) from None
    found = list(dict.fromkeys(name for name in (item.strip() for item in names) if name))
    if not found:
        raise InputError(
            "there is no customer in it",
            code="customers-empty",
            place=str(path),
            remedy="give a text file with one id a line, or CSV with a column `customer`",
        )
    return found
