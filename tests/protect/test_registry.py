"""Who got what: kept on disk, by several writers, with nothing secret in it."""

from __future__ import annotations

import multiprocessing
import sqlite3
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from asrpack.errors import InputError
from asrpack.protect.registry import Issued, Record, Registry, mark_commitment

KEY = bytes(range(32))
RECORD = Record(
    bundle_id="8f1c0e9e-0b0b-4a3e-9a51-0d7c4b6c2a11",
    customer="acme",
    request="1" * 64,
    name="digits",
    version="1",
    build="cpu",
    manifest="2" * 64,
    recipient="3" * 64,
    opened_by="3" * 64,
    signer="4" * 64,
    commitment="5" * 64,
    mark=mark_commitment(KEY, "acme"),
    licence_id=None,
    created="2026-11-30T12:00:00Z",
)

LICENCE = Issued(
    licence_id="0d0e7a2f-93a8-4c0f-8f53-2a8d1c9be0aa",
    bundle_id=RECORD.bundle_id,
    customer="acme",
    recipient="3" * 64,
    signer="4" * 64,
    issued="2026-11-30T12:00:00Z",
    not_before="2026-11-30T12:00:00Z",
    expires=None,
    grace_days=0,
    streams=2,
    hosts=0,
    sequence=1,
    supersedes=None,
)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry.sqlite")


def other(**changes: str) -> Record:
    return replace(RECORD, bundle_id=str(uuid.uuid4()), **changes)


def code(registry: Registry) -> str:
    with pytest.raises(InputError) as caught:
        registry.records()
    assert caught.value.remedy and caught.value.place == str(registry.path)
    return caught.value.code


def test_what_was_added_is_there(registry: Registry) -> None:
    licensed = other(customer="beta", licence_id=str(uuid.uuid4()))
    registry.add(RECORD)
    registry.add(licensed)
    assert Registry(registry.path).records() == [RECORD, licensed]
    assert registry.path.stat().st_mode & 0o777 == 0o600, "it lists the customers"


def test_licences_are_added_to_a_registry_that_had_none(registry: Registry) -> None:
    registry.add(RECORD)
    with sqlite3.connect(registry.path) as database:
        database.execute("DROP TABLE licences")
    assert registry.licences() == []
    registry.add(LICENCE)
    assert (registry.records(), registry.licences()) == ([RECORD], [LICENCE])


def test_all_rows_or_none(registry: Registry) -> None:
    registry.add(LICENCE)
    with pytest.raises(InputError):
        registry.add(RECORD, LICENCE)
    assert (registry.records(), registry.licences()) == ([], [LICENCE])


def test_a_request_is_found_in_the_order_it_was_made(registry: Registry) -> None:
    assert registry.made(RECORD.request) == []
    again = other()
    for record in (RECORD, other(request="6" * 64), again):
        registry.add(record)
    assert registry.made(RECORD.request) == [RECORD, again]


def test_the_customers_of_one_original(registry: Registry) -> None:
    for record in (
        RECORD,
        other(),
        other(customer="beta"),
        other(customer="x", commitment="7" * 64),
    ):
        registry.add(record)
    assert registry.customers(RECORD.commitment) == ["acme", "beta"]
    with pytest.raises(InputError, match="nobody in the registry") as caught:
        registry.customers("8" * 64)
    assert caught.value.code == "registry-nobody"


def test_a_bundle_is_there_once(registry: Registry) -> None:
    registry.add(RECORD)
    with pytest.raises(InputError):
        registry.add(RECORD)
    assert registry.records() == [RECORD]


def test_the_mark_key_is_not_in_its_bytes(registry: Registry) -> None:
    registry.add(RECORD)
    data = registry.path.read_bytes()
    assert b"acme" in data and RECORD.mark.encode() in data
    assert KEY not in data and KEY.hex().encode() not in data
    # Bound to both, so neither can be said to have been another afterwards.
    assert mark_commitment(KEY, "acme") != mark_commitment(KEY, "beta")
    assert mark_commitment(KEY, "acme") != mark_commitment(bytes(32), "acme")


def add_many(path: Path, customer: str, count: int) -> None:
    for _ in range(count):
        Registry(path).add(other(customer=customer))


def test_several_processes_write_at_a_time(registry: Registry) -> None:
    context = multiprocessing.get_context("spawn")
    names = ["a", "b", "c"]
    writers = [context.Process(target=add_many, args=(registry.path, n, 20)) for n in names]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    found = [record.customer for record in registry.records()]
    assert sorted(found) == sorted(names * 20)


def test_what_is_no_registry(registry: Registry, tmp_path: Path) -> None:
    assert code(registry) == "registry-missing"
    registry.path.write_bytes(b"customer,recipient\n" * 100)
    assert code(registry) == "registry-damaged"
    registry.path.write_bytes(b"")
    assert code(registry) == "registry-format"
    registry.path.unlink()
    with sqlite3.connect(registry.path) as database:
        database.execute("CREATE TABLE bundles (bundle_id)")
    assert code(registry) == "registry-format"
    with pytest.raises(InputError):
        registry.add(RECORD)
    registry.path.unlink()
    with sqlite3.connect(registry.path) as database:
        database.execute("PRAGMA user_version = 2")
    assert code(registry) == "registry-format"
    with pytest.raises(InputError) as caught:
        Registry(tmp_path / "no" / "registry.sqlite").add(RECORD)
    assert caught.value.code == "registry-unwritable"
    with pytest.raises(InputError):
        Registry(tmp_path).add(RECORD)


def test_a_damaged_one_is_refused(registry: Registry) -> None:
    for number in range(200):
        registry.add(other(customer=f"customer-{number}"))
    data = registry.path.read_bytes()
    for place in range(100, len(data), 4096):
        registry.path.write_bytes(data[:place] + b"\xff" * 512 + data[place + 512 :])
        try:
            found = registry.records()
        except InputError as error:
            assert error.code in ("registry-damaged", "registry-format")
        else:  # a page that no row's text is in
            assert len(found) == 200
    registry.path.write_bytes(data[: len(data) // 2])
    assert code(registry) == "registry-damaged"


def test_a_row_that_was_not_finished_does_not_count(registry: Registry) -> None:
    registry.add(RECORD)
    with pytest.raises(RuntimeError), registry._open(writes=True) as database:
        database.execute("DELETE FROM bundles")
        raise RuntimeError("killed")
    assert registry.records() == [RECORD]
