"""Who got what: every bundle made for a customer, and every licence, in an SQLite file that the
vendor keeps.

Nothing secret is in it. A row is written before its file appears, so there is no bundle and no
licence without one; a row may be of what a killed run never finished. Rows are never changed.
"""

from __future__ import annotations

import contextlib
import hmac
import sqlite3
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from asrpack.bundle.licence_body import Licence
from asrpack.bundle.verify import canonical_json
from asrpack.errors import InputError
from asrpack.protect.watermark import SCHEME

# Tells the file from other SQLite databases: "ASRP".
_APPLICATION = 0x41535250
_FORMAT = 1
# Seconds that one run waits while another writes.
_PATIENCE = 60.0


@dataclass(frozen=True)
class Record:
    """One bundle.

    Attributes:
        bundle_id: UUID (version 4).
        customer: the customer's id.
        request: SHA-256 (hex) over what the vendor asked for: the model, the customer, the keys,
            the terms.
        name, version, build: of the model.
        manifest: root digest of the signed files (hex).
        recipient: id of the customer's key.
        opened_by: id of the key that the bundle is encrypted for: the customer's, or the escrow
            key where there is a licence.
        signer: id of the key that signed it.
        commitment: as the bundle's metadata has it: binds the watermark key and the unmarked
            original.
        mark: :func:`mark_commitment`.
        licence_id: None where there is no licence.
        created: UTC, ``2026-01-31T12:00:00Z``.
    """

    bundle_id: str
    customer: str
    request: str
    name: str
    version: str
    build: str
    manifest: str
    recipient: str
    opened_by: str
    signer: str
    commitment: str
    mark: str
    licence_id: str | None
    created: str


@dataclass(frozen=True)
class Issued:
    """One licence, the first of a bundle or a renewal.

    Attributes:
        licence_id: UUID (version 4).
        bundle_id: of the bundle that it opens.
        customer: the customer's id.
        recipient: id of the customer's key.
        signer: id of the key that signed it.
        issued, not_before, expires: UTC, ``2026-01-31T12:00:00Z``; ``expires`` None: never.
        grace_days: that it works after ``expires``.
        streams: recognitions at a time; None: any number.
        hosts: how many it is bound to; 0: any.
        sequence: grows with every licence for a bundle and a recipient.
        supersedes: ``licence_id`` of the licence that it renews, or None.
    """

    licence_id: str
    bundle_id: str
    customer: str
    recipient: str
    signer: str
    issued: str
    not_before: str
    expires: str | None
    grace_days: int
    streams: int | None
    hosts: int
    sequence: int
    supersedes: str | None

    @classmethod
    def of(cls, licence: Licence) -> Issued:
        """What the registry says of a licence."""
        body = licence.body() | {
            "signer": licence.signer,
            "streams": licence.terms.streams,
            "hosts": len(licence.terms.hosts),
        }
        return cls(**{item.name: body[item.name] for item in fields(cls)})


_Row = TypeVar("_Row", Record, Issued)
_TABLES = {Record: ("bundles", "bundle_id"), Issued: ("licences", "licence_id")}
_TYPES = {
    "str": "TEXT NOT NULL",
    "str | None": "TEXT",
    "int": "INTEGER NOT NULL",
    "int | None": "INTEGER",
}


def _creation(kind: type[Any]) -> str:
    table, key = _TABLES[kind]
    columns = ", ".join(f"{item.name} {_TYPES[str(item.type)]}" for item in fields(kind))
    return f"CREATE TABLE IF NOT EXISTS {table} ({columns}, PRIMARY KEY ({key})) STRICT"


def mark_commitment(key: bytes, customer: str) -> str:
    """Commits to the mark of a customer (hex): HMAC-SHA-256 under the watermark key.

    Whoever is shown the key can check it; nobody else learns the customer or the mark from it.
    """
    told = canonical_json([SCHEME, customer])
    return hmac.digest(key, b"asrpack customer mark v1\0" + told, "sha256").hex()


class Registry:
    """The file, opened for as long as one operation takes; several processes may write."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, *rows: Record | Issued) -> None:
        """Writes rows, to the disk, all or none; makes the file (0600) where there is none.

        Raises:
            InputError: it is not a registry, is damaged, or cannot be written.
        """
        with self._open(writes=True) as database:
            for row in rows:
                values, (table, _) = astuple(row), _TABLES[type(row)]
                marks = ", ".join("?" * len(values))
                database.execute(f"INSERT INTO {table} VALUES ({marks})", values)

    def records(self) -> list[Record]:
        """All bundles, in the order they were written.

        Raises:
            InputError: there is no such file, it is not a registry, or is damaged.
        """
        return self._select(Record)

    def licences(self) -> list[Issued]:
        """All licences, in the order they were written.

        Raises:
            InputError: as :meth:`records`.
        """
        return self._select(Issued)

    def made(self, request: str) -> list[Record]:
        """The rows of a request; none where there is no file yet."""
        return self._select(Record, "request", request) if self.path.exists() else []

    def customers(self, commitment: str) -> list[str]:
        """Ids of all whose copies were marked with one key and one original, each once.

        Raises:
            InputError: as :meth:`records`; there is nobody.
        """
        names = [item.customer for item in self._select(Record, "commitment", commitment)]
        if not names:
            raise InputError(
                "nobody in the registry has a copy that was marked with this key and original",
                code="registry-nobody",
                place=str(self.path),
                remedy="check --key and --original, or give the customers as a list",
            )
        return list(dict.fromkeys(names))

    def _select(self, kind: type[_Row], column: str = "", *values: str) -> list[_Row]:
        table, _ = _TABLES[kind]
        columns = ", ".join(item.name for item in fields(kind))
        where = f"WHERE {column} = ?" if column else ""
        with self._open(writes=False) as database:
            there = database.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (table,))
            # A registry that licences were not written to before has no table of them.
            if kind is Issued and there.fetchone() is None:
                return []
            query = f"SELECT {columns} FROM {table} {where} ORDER BY rowid"
            return [kind(*row) for row in database.execute(query, values)]

    @contextlib.contextmanager
    def _open(self, *, writes: bool) -> Iterator[sqlite3.Connection]:
        try:
            if writes:
                self.path.touch(mode=0o600)
            # Reading, too, may have to undo what a killed run was writing.
            address = f"{self.path.absolute().as_uri()}?mode=rw"
            database = sqlite3.connect(address, uri=True, timeout=_PATIENCE, isolation_level=None)
            with contextlib.closing(database):
                database.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
                self._check(database, writes)
                yield database
                database.execute("COMMIT")
        except OSError as error:
            raise _refused(
                "unwritable", self.path, f"cannot be written: {error.strerror}"
            ) from None
        except sqlite3.Error as error:
            raise self._explain(error) from None

    def _check(self, database: sqlite3.Connection, writes: bool) -> None:
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (version,) = database.execute("PRAGMA user_version").fetchone()
        (tables,) = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if (application, version, tables) == (0, 0, 0) and writes:
            database.execute(f"PRAGMA application_id = {_APPLICATION}")
            database.execute(f"PRAGMA user_version = {_FORMAT}")
        elif (application, version) != (_APPLICATION, _FORMAT):
            raise _refused("format", self.path, "this is not a registry of this version of asrpack")
        if writes:
            for kind in _TABLES:
                database.execute(_creation(kind))

    def _explain(self, error: sqlite3.Error) -> InputError:
        if not self.path.exists():
            return _refused("missing", self.path, "there is no registry")
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith("SQLITE_BUSY"):
            return _refused("busy", self.path, "another run has held it for a minute")
        if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")):
            return _refused("unwritable", self.path, f"cannot be opened: {error}")
        return _refused("damaged", self.path, f"the registry cannot be read: {error}")


_REMEDIES = {
    "unwritable": "give a file that you can write, in a folder that is there",
    "format": "give the file that `asrpack personalize` keeps, with the version that wrote it",
    "missing": "give the file that `asrpack personalize` keeps beside the artifact",
    "busy": "wait for the other run, or end it",
    "damaged": "bring it back from a backup",
}


def _refused(kind: str, path: Path, message: str) -> InputError:
    return InputError(message, code=f"registry-{kind}", place=str(path), remedy=_REMEDIES[kind])
