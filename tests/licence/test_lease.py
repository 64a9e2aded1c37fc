"""A licence in use: which one counts, for how long, and what a renewal changes."""

from __future__ import annotations

import gc
import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from asrpack.bundle.host import HostBinding
from asrpack.bundle.licence_body import DAY
from asrpack.errors import ErrorGroup, KeyFileError
from asrpack.runtime import licence_files
from asrpack.runtime.licence import Host, Lease
from tests.hostile.bundles import make_bundle
from tests.licence.vendor import NOW, FakeHost, Vendor, read

HOUR = 3600


def refusal(lease: Lease) -> str:
    """The code with which a request is refused."""
    with pytest.raises(KeyFileError) as error:
        lease.take()
    assert error.value.exit_code == 7
    return error.value.code


def no_key(host: FakeHost, path: Path, vendor: Vendor) -> str:
    """The code with which a bundle stays locked."""
    with pytest.raises(KeyFileError) as error:
        host.open(path, vendor)
    return error.value.code


def drop_in(path: Path, data: bytes) -> None:
    """As a customer should: the file is there whole."""
    part = path.with_suffix(".part")
    part.write_bytes(data)
    part.replace(path)


# -- Time ------------------------------------------------------------------------------------------


def test_from_its_begin_to_its_end(host: FakeHost, tmp_path: Path, vendor: Vendor) -> None:
    path = tmp_path / "licence.json"
    path.write_bytes(vendor.issue(not_before=NOW + DAY, grace_days=2))
    assert no_key(host, path, vendor) == "licence-not-yet"
    host.passes(DAY)
    lease = host.open(path, vendor)
    host.passes(30 * DAY - 1)
    lease.take()
    assert host.warnings == []
    host.passes(1)
    lease.take()
    lease.take()
    (warning,) = host.warnings
    assert "expired" in warning and "renew" in warning
    host.passes(2 * DAY)
    assert refusal(lease) == "licence-expired"
    assert no_key(host, path, vendor) == "licence-expired"


def test_the_warning_comes_back_every_day(host: FakeHost, tmp_path: Path, vendor: Vendor) -> None:
    path = tmp_path / "licence.json"
    path.write_bytes(vendor.issue(grace_days=10))
    host.passes(31 * DAY)
    lease = host.open(path, vendor)
    for _ in range(3):
        host.passes(DAY)
        lease.take()
    assert len(host.warnings) == 4


def test_one_without_an_end_asks_no_clock(host: FakeHost, tmp_path: Path, vendor: Vendor) -> None:
    path = tmp_path / "licence.json"
    path.write_bytes(vendor.issue(expires=None))
    host.now = 4e9
    host.open(path, vendor)
    host.now = NOW - 10 * DAY
    host.open(path, vendor).take()
    assert host.warnings == []


# -- The clock -------------------------------------------------------------------------------------


def test_set_back_by_little_the_time_stands_still(
    host: FakeHost, licence: Path, vendor: Vendor
) -> None:
    host.passes(30 * DAY - HOUR)
    host.open(licence, vendor)
    host.now -= 20 * HOUR
    lease = host.open(licence, vendor)
    (warning,) = host.warnings
    assert "1200 minutes behind" in warning
    found = lease.licence
    assert found is not None and lease.time(found) == (NOW + 30 * DAY - HOUR, 20 * HOUR)
    # An hour later it is over, whatever the clock says.
    host.now += 20 * HOUR
    host.passes(HOUR)
    assert refusal(lease) == "licence-expired"


def test_a_few_minutes_are_no_roll_back(host: FakeHost, licence: Path, vendor: Vendor) -> None:
    host.now = NOW - 300  # the vendor's clock may be ahead
    host.open(licence, vendor).take()
    assert host.warnings == []


def test_set_back_by_more_than_a_day(host: FakeHost, licence: Path, vendor: Vendor) -> None:
    host.passes(10 * DAY)
    lease = host.open(licence, vendor)
    host.now -= DAY + HOUR
    assert refusal(lease) == "licence-clock"
    assert no_key(host, licence, vendor) == "licence-clock"
    host.now += HOUR
    host.open(licence, vendor).take()


def test_set_back_while_it_runs(host: FakeHost, licence: Path, vendor: Vendor) -> None:
    """Time that passes in the process counts, seen or not: here nothing was saved for an hour."""
    lease = host.open(licence, vendor)
    host.passes(40 * DAY)
    host.now = NOW
    assert refusal(lease) == "licence-clock"


def test_never_before_the_issue(host: FakeHost, licence: Path, vendor: Vendor) -> None:
    host.now = NOW - 2 * DAY
    assert no_key(host, licence, vendor) == "licence-clock"


def test_never_before_the_bundle(host: FakeHost, tmp_path: Path, vendor: Vendor) -> None:
    created = vendor.lock().created
    path = tmp_path / "licence.json"
    path.write_bytes(vendor.issue(issued=created - 90 * DAY, expires=created + DAY))
    host.now = created - 2 * DAY
    assert no_key(host, path, vendor) == "licence-clock"


def test_a_wrong_clock_that_was_refused_is_not_remembered(
    host: FakeHost, licence: Path, vendor: Vendor
) -> None:
    lease = host.open(licence, vendor)
    host.now += 1000 * DAY
    assert refusal(lease) == "licence-expired"
    assert no_key(host, licence, vendor) == "licence-expired"
    host.now -= 1000 * DAY
    lease.take()
    host.open(licence, vendor).take()


def test_a_renewal_mends_a_memory_that_ran_ahead(
    host: FakeHost, licence: Path, vendor: Vendor
) -> None:
    host.now += 20 * DAY
    host.open(licence, vendor)
    host.now -= 20 * DAY
    assert no_key(host, licence, vendor) == "licence-clock"
    drop_in(licence, vendor.renew(licence.read_bytes(), issued=NOW + HOUR))
    host.passes(HOUR)
    host.open(licence, vendor).take()


# -- What is remembered ----------------------------------------------------------------------------


def state_file(host: FakeHost) -> Path:
    assert host.state is not None
    (path,) = host.state.iterdir()
    return path


@pytest.mark.parametrize("field", ["clock", "sequence"])
def test_an_edit_of_the_memory_is_noticed(
    host: FakeHost, licence: Path, vendor: Vendor, field: str
) -> None:
    lease = host.open(licence, vendor)
    raw = json.loads(state_file(host).read_bytes())
    raw["body"][field] -= DAY
    state_file(host).write_text(json.dumps(raw, separators=(",", ":")))
    assert no_key(host, licence, vendor) == "licence-state"
    # Who has the licence open knows better, and writes it again.
    host.passes(HOUR)
    lease.take()
    assert "written anew" in host.warnings[-1]
    host.open(licence, vendor)


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 1000, b"\xff", b"x" * 10_000])
def test_a_damaged_memory(host: FakeHost, licence: Path, vendor: Vendor, data: bytes) -> None:
    host.open(licence, vendor)
    state_file(host).write_bytes(data)
    assert no_key(host, licence, vendor) == "licence-state"


def test_the_memory_of_another_bundle_is_none(
    host: FakeHost, licence: Path, vendor: Vendor, tmp_path: Path
) -> None:
    host.open(licence, vendor)
    other = make_bundle(tmp_path / "other")
    second = Vendor(
        other.path,
        other.folder / "vendor.pem",
        other.folder / "old.key",
        other.folder / "stranger.key",
    )
    path = tmp_path / "other.json"
    path.write_bytes(second.issue())
    mine = state_file(host)
    host.open(path, second)
    assert host.state is not None
    (theirs,) = set(host.state.iterdir()) - {mine}
    shutil.copyfile(mine, theirs)
    assert no_key(host, path, second) == "licence-state"


def test_it_is_saved_while_it_is_used(host: FakeHost, licence: Path, vendor: Vendor) -> None:
    lease = host.open(licence, vendor)
    host.passes(5 * DAY)
    lease.take()
    host.now -= 2 * DAY
    assert no_key(host, licence, vendor) == "licence-clock"
    assert state_file(host).stat().st_mode & 0o777 == 0o600


def test_without_a_place_to_remember(
    host: FakeHost, licence: Path, vendor: Vendor, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "state", None):
        host.state = place
        host.warnings.clear()
        host.now = NOW
        host.open(licence, vendor).take()
        (warning,) = host.warnings
        assert "not remembered" in warning and "ASRPACK_STATE" in warning
        host.now = NOW - 2 * DAY  # the vendor's dates are the floor all the same
        assert no_key(host, licence, vendor) == "licence-clock"


def test_looking_changes_nothing(host: FakeHost, licence: Path, vendor: Vendor) -> None:
    host.open(licence, vendor, remember=False)
    assert host.state is not None and not host.state.exists()
    host.passes(5 * DAY)
    host.open(licence, vendor)
    host.now -= 3 * DAY
    with pytest.raises(KeyFileError, match="set back"):
        host.open(licence, vendor, remember=False)


# -- Which one counts ------------------------------------------------------------------------------


def test_none(host: FakeHost, vendor: Vendor, tmp_path: Path) -> None:
    assert no_key(host, tmp_path / "none.json", vendor) == "licence-missing"
    assert no_key(host, tmp_path, vendor) == "licence-missing"
    os.mkfifo(tmp_path / "pipe")
    assert no_key(host, tmp_path / "pipe", vendor) == "licence-missing"


def test_beside_the_bundle_or_where_the_environment_says(
    vendor: Vendor, host: FakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "customer" / "bundle"
    shutil.copytree(vendor.bundle, bundle)
    here = Vendor(bundle, vendor.signing, vendor.escrow, vendor.customer)

    def licence_id() -> str:
        lease = Lease(
            None, bundle, host.warnings.append,
            host=Host(lambda: host.now, lambda: host.ran, lambda: {}, lambda: host.state),
        )  # fmt: skip
        lease.unlock(here.lock())
        assert lease.licence is not None
        return lease.licence.licence_id

    monkeypatch.delenv("ASRPACK_LICENSE", raising=False)
    with pytest.raises(KeyFileError) as error:
        licence_id()
    assert error.value.code == "identity-not-recipient"  # most likely it is the wrong key
    beside = vendor.issue()
    (bundle.parent / "licence.json").write_bytes(beside)
    assert licence_id() == read(beside).licence_id
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.setenv("ASRPACK_LICENSE", str(folder))
    with pytest.raises(KeyFileError) as error:
        licence_id()
    assert error.value.code == "licence-missing"
    (folder / "a.json").write_bytes(vendor.issue(issued=NOW + 5))
    assert licence_id() == read((folder / "a.json").read_bytes()).licence_id


def test_of_a_folder_the_newest_that_holds(host: FakeHost, vendor: Vendor, tmp_path: Path) -> None:
    folder = tmp_path / "licences"
    folder.mkdir()
    old = vendor.issue()
    new = vendor.renew(old, issued=NOW + 10)
    later = vendor.renew(new, issued=NOW + 20, not_before=NOW + 5 * DAY)
    over = vendor.issue(issued=NOW + 30, not_before=NOW - DAY, expires=NOW)
    for number, data in enumerate([old, new, later, over, b"{}"]):
        (folder / f"{number}.json").write_bytes(data)
    (folder / "README").write_text("no licence")
    host.passes(60)
    lease = host.open(folder, vendor)
    assert lease.licence == read(new)
    host.passes(5 * DAY)
    lease.take()
    assert lease.licence == read(later)
    assert host.warnings == []


def test_a_folder_of_nothing_usable_says_why(
    host: FakeHost, vendor: Vendor, tmp_path: Path
) -> None:
    folder = tmp_path / "licences"
    folder.mkdir()
    (folder / "a.json").write_bytes(b"{}")
    foreign = vendor.edit(lambda payload: payload["body"].update(recipient="0" * 64))
    (folder / "b.json").write_bytes(foreign)
    assert no_key(host, folder, vendor) == "licence-format"
    (folder / "c.json").write_bytes(b"")
    with pytest.raises(ErrorGroup) as group:
        host.open(folder, vendor)
    assert [item.place for item in group.value.errors] == [
        str(folder / "a.json"), str(folder / "c.json")
    ]  # fmt: skip
    assert group.value.exit_code == 7
    for number in range(licence_files.MAX_FILES):
        (folder / f"{number}.json").write_bytes(b"")
    assert no_key(host, folder, vendor) == "licence-folder"


def test_an_old_licence_after_a_newer_one(host: FakeHost, licence: Path, vendor: Vendor) -> None:
    old = licence.read_bytes()
    drop_in(licence, vendor.renew(old, issued=NOW + 1, days=1))
    host.passes(1)
    host.open(licence, vendor)
    drop_in(licence, old)
    assert no_key(host, licence, vendor) == "licence-rollback"


# -- Renewal while it runs -------------------------------------------------------------------------


def test_a_renewal_dropped_in(host: FakeHost, licence: Path, vendor: Vendor) -> None:
    lease = host.open(licence, vendor)
    host.passes(31 * DAY)
    assert refusal(lease) == "licence-expired"
    drop_in(licence, vendor.renew(licence.read_bytes(), issued=NOW + 31 * DAY))
    lease.take()
    assert lease.licence == read(licence.read_bytes())
    assert host.warnings == []
    host.open(licence, vendor).take()


def test_a_renewal_takes_over_when_it_begins(host: FakeHost, licence: Path, vendor: Vendor) -> None:
    first = read(licence.read_bytes())
    lease = host.open(licence, vendor)
    drop_in(
        licence,
        vendor.renew(licence.read_bytes(), issued=NOW + 1, not_before=NOW + 30 * DAY),
    )
    host.passes(DAY)
    lease.take()
    assert lease.licence == first
    host.passes(29 * DAY)
    lease.take()
    assert lease.licence != first and host.warnings == []


def test_a_renewal_with_fewer_streams(host: FakeHost, licence: Path, vendor: Vendor) -> None:
    lease = host.open(licence, vendor)
    leave = [lease.take() for _ in range(3)]
    drop_in(licence, vendor.issue(issued=NOW + 1, streams=1))
    host.passes(1)
    assert refusal(lease) == "licence-streams"
    for give_back in leave:
        give_back()
    lease.take()


@pytest.mark.parametrize(
    "what", ["nothing", "broken", "half", "older", "over", "forged", "another bundle's", "gone"]
)
def test_a_worse_one_dropped_in(host: FakeHost, licence: Path, vendor: Vendor, what: str) -> None:
    drop_in(licence, vendor.issue(issued=NOW + 100))
    host.passes(100)
    lease = host.open(licence, vendor)
    held, data = lease.licence, licence.read_bytes()
    outer = json.loads(vendor.issue(issued=NOW + 200))
    outer["signatures"][0]["sig"] = json.loads(data)["signatures"][0]["sig"]
    worse = {
        "nothing": b"",
        "broken": data.replace(b"payload", b"payl0ad"),
        "half": data[: len(data) // 2],
        "older": vendor.issue(issued=NOW + 1),
        "over": vendor.issue(issued=NOW + 200, not_before=NOW, expires=NOW + 1),
        "forged": json.dumps(outer, separators=(",", ":")).encode(),
        "another bundle's": vendor.edit(
            lambda payload: payload["body"].update(bundle_id="0a0a0a0a-0a0a-4a0a-8a0a-0a0a0a0a0a0a")
        ),
    }
    if what == "gone":
        licence.unlink()
    else:
        drop_in(licence, worse[what])
    host.passes(100)
    for _ in range(3):
        lease.take()
    assert lease.licence == held
    assert len(host.warnings) == (what != "gone")
    assert all("the licence in use stays" in text for text in host.warnings)
    # A sound one is taken after that.
    drop_in(licence, vendor.issue(issued=NOW + 200))
    lease.take()
    assert lease.licence == read(licence.read_bytes())


# -- Hosts -----------------------------------------------------------------------------------------

HERE = {"machine-id": ("aaaa",), "mac": ("02:00:00:00:00:01", "02:00:00:00:00:02")}


def bound(needed: int, **values: str) -> HostBinding:
    named = {name.replace("_", "-"): value for name, value in values.items()}
    return HostBinding.of(named, os.urandom(16), needed)


@pytest.mark.parametrize(
    ("hosts", "allowed"),
    [
        ([bound(1, machine_id="aaaa")], True),
        ([bound(2, machine_id="aaaa", mac="02:00:00:00:00:02")], True),
        ([bound(1, machine_id="bbbb", mac="02:00:00:00:00:01")], True),
        ([bound(2, machine_id="bbbb", mac="02:00:00:00:00:01")], False),
        ([bound(2, machine_id="aaaa", mac="02:00:00:00:00:03", board_serial="x")], False),
        ([bound(1, machine_id="bbbb"), bound(1, machine_id="aaaa")], True),
        ([bound(1, board_serial="aaaa")], False),
    ],
)
def test_bound_to_hosts(
    host: FakeHost, vendor: Vendor, tmp_path: Path, hosts: list[HostBinding], allowed: bool
) -> None:
    path = tmp_path / "licence.json"
    path.write_bytes(vendor.issue(hosts=tuple(hosts)))
    host.factors = HERE
    if allowed:
        host.open(path, vendor).take()
    else:
        assert no_key(host, path, vendor) == "licence-host"
    host.factors = {}
    assert no_key(host, path, vendor) == "licence-host"


# -- Places ----------------------------------------------------------------------------------------


def test_so_many_at_a_time(host: FakeHost, vendor: Vendor, tmp_path: Path) -> None:
    path = tmp_path / "licence.json"
    path.write_bytes(vendor.issue(streams=2))
    lease = host.open(path, vendor)
    first, _second = lease.take(), lease.take()
    assert refusal(lease) == "licence-streams"
    first()
    first()  # gives back one place, not two
    lease.take()
    assert refusal(lease) == "licence-streams"


def test_from_many_threads(host: FakeHost, vendor: Vendor, tmp_path: Path) -> None:
    path = tmp_path / "licence.json"
    path.write_bytes(vendor.issue(streams=3))
    lease = host.open(path, vendor)
    most, held, lock = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal most, held
        for _ in range(50):
            try:
                leave = lease.take()
            except KeyFileError:
                continue
            with lock:
                held += 1
                most = max(most, held)
            with lock:
                held -= 1
            leave()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    assert most <= 3
    assert [lease.take() for _ in range(3)]
