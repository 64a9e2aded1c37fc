"""The list of customers that bundles are made for: CSV, each fault with its line and column."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from asrpack.bundle.host import HostBinding
from asrpack.bundle.keys import public_pem, recipient_public
from asrpack.bundle.licence_body import DAY, MAX_GRACE_DAYS, MAX_HOSTS, MAX_STREAMS, Terms
from asrpack.bundle.metadata import day_or_time
from asrpack.bundle.secrets import SecretSource
from asrpack.errors import AsrpackError, ErrorGroup, InputError, KeyFileError
from asrpack.recipe.diagnostics import choices

REQUIRED = ("customer", "recipient")
TERMS = ("not_before", "expires", "grace", "streams", "hosts")
COLUMNS = REQUIRED + TERMS
MAX_BYTES = 16 << 20
# What a licence and a folder's name can hold.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}")
_CODE = "customers-value"
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Customer:
    """One customer. Times are Unix seconds.

    Attributes:
        name: the customer's id.
        recipient: the customer's public key in PEM.
        key_id: its fingerprint.
        not_before, expires, grace_days, streams, hosts: of the licence, as :class:`Terms` has
            them; ``not_before`` None: from when it is issued.
    """

    name: str
    recipient: str
    key_id: str
    not_before: int | None = None
    expires: int | None = None
    grace_days: int = 0
    streams: int | None = None
    hosts: tuple[HostBinding, ...] = ()

    @property
    def licensed(self) -> bool:
        """Whether anything is said that only a licence can hold."""
        return any((self.not_before, self.expires, self.streams, self.hosts))

    def terms(self, issued: int) -> Terms:
        """Of a licence that is issued at a time."""
        begin = issued if self.not_before is None else self.not_before
        return Terms(self.name, begin, self.expires, self.grace_days, self.streams, self.hosts)


def read_customer(name: str, recipient: Path) -> Customer:
    """One customer, without a licence.

    Raises:
        InputError: the id is not a plain one.
        KeyFileError: the public key cannot be used.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} is no plain id", code=_CODE, place="--customer", remedy=_NAME_REMEDY
        )
    return Customer(name, *_recipient(recipient))


def read_customers(path: Path, now: int) -> list[Customer]:
    """Reads a CSV file; the paths in it are relative to it.

    Args:
        now: Unix seconds: a licence that has ended by then is a fault.

    Raises:
        InputError: unreadable, not CSV in UTF-8, a column missing, unknown or twice, nobody in it.
        ErrorGroup: every fault in its values; exit code 3.
    """
    records = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    faults: list[AsrpackError] = []
    found: dict[str, tuple[int, Customer]] = {}
    keys: dict[str, tuple[int, str]] = {}
    line = 1
    try:
        header = [name.strip() for name in next(records, [])]
        _check_header(header, path)
        begun = records.line_num
        for record in records:
            line, begun = begun + 1, records.line_num
            if not any(cell.strip() for cell in record):
                continue
            row = _Row(path, line, faults)
            if len(record) != len(header):
                row.fault(None, f"has {len(record)} fields, the first line {len(header)}",
                          "quote fields that hold a comma")  # fmt: skip
                continue
            customer = _customer(dict(zip(header, map(str.strip, record), strict=True)), row, now)
            if customer is None:
                continue
            # A folder's name: on some disks ACME and acme are one.
            first = found.setdefault(customer.name.casefold(), (line, customer))
            if first[0] != line:
                row.fault("customer", f"{customer.name!r} is in line {first[0]}, too",
                          "list each customer once")  # fmt: skip
            other = keys.setdefault(customer.key_id, (line, customer.name))
            if other[0] != line:
                row.fault(
                    "recipient",
                    f"the same key as {other[1]!r} in line {other[0]} has: each could open the "
                    "other's bundle",
                    "give each customer's own key",
                )
    except csv.Error as error:
        raise _unreadable(f"{path}:{records.line_num}", f"this is not CSV: {error}") from None
    if faults:
        raise ErrorGroup(faults)
    if not found:
        raise _unreadable(str(path), "there is no customer in it")
    return [customer for _, customer in found.values()]


@dataclass(frozen=True)
class _Row:
    """A line of the file, and where its faults go."""

    path: Path
    line: int
    faults: list[AsrpackError]

    def fault(self, column: str | None, message: str, remedy: str) -> None:
        where = f"{self.path}:{self.line}" + (f", column {column}" if column else "")
        self.faults.append(InputError(message, code=_CODE, place=where, remedy=remedy))

    def read(self, column: str, text: str, parse: Callable[[str], _Value]) -> _Value | None:
        """The value of a cell; None where it is empty, or at fault."""
        if not text:
            return None
        try:
            return parse(text)
        except _CellError as error:
            self.fault(column, error.message, error.remedy)
        except KeyFileError as error:
            self.fault(column, str(error).partition("\n")[0], error.remedy or "give another file")
        return None


class _CellError(Exception):
    """What is wrong with a cell, and what would be right."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message, self.remedy = message, remedy


def _customer(cells: Mapping[str, str], row: _Row, now: int) -> Customer | None:
    """None where something is at fault."""
    before = len(row.faults)
    for column in REQUIRED:
        if not cells[column]:
            row.fault(column, "is empty", "fill it in, or take the line out")
    folder = row.path.parent
    name = row.read("customer", cells["customer"], _name)
    recipient = row.read("recipient", cells["recipient"], lambda text: _recipient(folder / text))

    def term(column: str, parse: Callable[[str], Any]) -> Any:
        return row.read(column, cells.get(column, ""), parse)

    begin = term("not_before", lambda text: _time(text, 0))
    # The day that is named is the last.
    end = term("expires", lambda text: _time(text, DAY))
    grace = term("grace", lambda text: _number(text, 0, MAX_GRACE_DAYS))
    streams = term("streams", lambda text: _number(text, 1, MAX_STREAMS))
    hosts = term("hosts", lambda text: _hosts(text, folder))
    if end is not None and end <= max(now, begin or 0):
        row.fault("expires", "it ends before it begins, or has ended",
                  "give a later day, or leave it empty")  # fmt: skip
    if grace and not cells.get("expires"):
        row.fault("grace", "days of grace after no end", "fill in `expires`, or leave it empty")
    if len(row.faults) > before or name is None or recipient is None:
        return None
    return Customer(name, *recipient, begin, end, grace or 0, streams, hosts or ())


_NAME_REMEDY = "use letters, digits, `.`, `_`, `@`, `-`, at most 128, a letter or digit first"


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise _CellError(f"{text!r} is no plain id", _NAME_REMEDY)
    return text


def _recipient(path: Path) -> tuple[str, str]:
    key = recipient_public(SecretSource("file", str(path)).read(), str(path))
    return public_pem(key).decode(), key.fingerprint


def _time(text: str, of_day: int) -> int:
    try:
        return day_or_time(text, of_day)
    except ValueError:
        remedy = "write it like 2027-01-31, or 2027-01-31T12:00:00Z"
        raise _CellError(f"{text!r} is no date", remedy) from None


def _number(text: str, least: int, greatest: int) -> int:
    if not re.fullmatch("[0-9]{1,9}", text) or not least <= int(text) <= greatest:
        raise _CellError(
            f"{text!r} is no whole number from {least} to {greatest}",
            "correct it, or leave it empty",
        )
    return int(text)


def _hosts(text: str, folder: Path) -> tuple[HostBinding, ...]:
    """Paths of host documents, ``;`` between them."""
    paths = [folder / item.strip() for item in text.split(";")]
    if len(paths) > MAX_HOSTS:
        raise _CellError(f"{len(paths)} hosts are too many", f"give at most {MAX_HOSTS}")
    return tuple(
        HostBinding.from_json(SecretSource("file", str(path)).read(), str(path)) for path in paths
    )


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise _unreadable(str(path), f"it has over {MAX_BYTES >> 20} MiB")
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise _unreadable(str(path), f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        cause = f"not UTF-8: byte 0x{data[error.start]:02x}"
        raise _unreadable(f"{path}:{line}", cause) from None
    if (at := text.find("\0")) >= 0:
        raise _unreadable(f"{path}:{text.count(chr(10), 0, at) + 1}", "there is a NUL in it")
    return text


def _check_header(header: list[str], path: Path) -> None:
    place = f"{path}:1"
    for name in header:
        if name not in COLUMNS:
            raise InputError(
                f"unknown column {name!r}",
                code="customers-columns",
                place=place,
                remedy=choices(name, COLUMNS),
            )
        if header.count(name) > 1:
            raise _unreadable(place, f"the column {name} is there twice")
    for name in REQUIRED:
        if name not in header:
            raise InputError(
                f"there is no column {name}",
                code="customers-columns",
                place=place,
                remedy=f"begin with a line of columns: {','.join(REQUIRED)}, and of these those "
                f"you need: {','.join(TERMS)}",
            )


def _unreadable(place: str, message: str) -> InputError:
    return InputError(
        message,
        code="customers-unreadable",
        place=place,
        remedy="give CSV in UTF-8 whose first line names its columns, e.g. customer,recipient",
    )
