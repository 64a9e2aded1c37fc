"""A licence from the vendor's desk to the customer's service, with the quickstart model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asrpack.bundle.host import HostBinding
from tests.e2e.conftest import RECIPE, Workshop
from tests.licence.vendor import Vendor

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e")]

RECORDING = RECIPE.parent / "data" / "human" / "001.wav"
TEXT = "ten of clubs"
DATES = "%Y-%m-%dT%H:%M:%SZ"


@pytest.fixture
def vendor(workshop: Workshop, bundle: Path) -> Vendor:
    """``acme.key``, for which the bundle was built, is the escrow key; ``other.key`` customer's."""
    keys = workshop.keys
    return Vendor(bundle, keys / "vendor.pem", keys / "acme.key", keys / "other.key")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASRPACK_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("ASRPACK_LICENSE", raising=False)
    return tmp_path / "state"


def desk(vendor: Vendor, verb: str, *more: object) -> list[str]:
    """The vendor's command, as words."""
    words = [
        "license", verb, vendor.bundle, *more,
        "--recipient", vendor.customer.with_suffix(".pub"),
        "--escrow", vendor.escrow, "--sign", vendor.signing,
    ]  # fmt: skip
    return [str(word) for word in words]


def customer(vendor: Vendor, licence: Path) -> list[str]:
    words = [
        "--identity", vendor.customer, "--trust", vendor.signing.with_suffix(".pub"),
        "--license", licence,
    ]  # fmt: skip
    return [str(word) for word in words]


def test_from_the_host_to_the_text(
    workshop: Workshop, vendor: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    licence, host = tmp_path / "licence.json", tmp_path / "host.json"
    options = ["--customer", "acme", "--days", "90", "--grace", "7", "--streams", "1"]
    described = subprocess.run(
        [sys.executable, "-m", "asrpack", "license", "host"], capture_output=True, check=False
    )
    if described.returncode == 0:  # else nothing tells this machine from others
        host.write_bytes(described.stdout)
        options += ["--host", str(host)]
    with monkeypatch.context() as desk_clock:
        # An hour ago: a machine that puts its clock right meanwhile does not change a day's count.
        desk_clock.setenv("SOURCE_DATE_EPOCH", str(int(time.time()) - 3600))
        workshop.asrpack(*desk(vendor, "issue", *options, "-o", licence))

    run = ["run", str(vendor.bundle), str(RECORDING)]
    assert workshop.asrpack(*run, *customer(vendor, licence)).stdout.endswith(f"{TEXT}\n")
    checked = workshop.asrpack(
        "license", "check", str(vendor.bundle), *customer(vendor, licence), "--json"
    )
    assert json.loads(checked.stdout)["days_left"] == 89
    trust = ["--trust", str(vendor.signing.with_suffix(".pub"))]
    identity = ["--identity", str(vendor.customer)]
    tested = workshop.asrpack(
        "verify", str(vendor.bundle), *trust, *identity, "--selftest", "--license", str(licence)
    )
    assert "selftest: ran" in tested.stdout
    # The licence lies outside: the bundle is still exactly what was signed.
    workshop.asrpack("verify", str(vendor.bundle), *trust)

    refused = workshop.asrpack(*run, *identity, *trust, status=7)
    assert "licence" in refused.stderr and refused.stdout == ""
    forged = json.loads(licence.read_bytes())
    forged["payload"] = forged["payload"][:-8] + "AAAAAAA="
    (tmp_path / "forged.json").write_text(json.dumps(forged, separators=(",", ":")))
    workshop.asrpack(*run, *customer(vendor, tmp_path / "forged.json"), status=7)


def test_for_another_host(workshop: Workshop, vendor: Vendor, tmp_path: Path) -> None:
    licence, host = tmp_path / "licence.json", tmp_path / "host.json"
    host.write_bytes(HostBinding.of({"machine-id": "another"}, os.urandom(16), 1).to_json())
    options = ["--customer", "acme", "--days", "90", "--host", host, "-o", licence]
    workshop.asrpack(*desk(vendor, "issue", *options))
    done = workshop.asrpack(
        "run", str(vendor.bundle), str(RECORDING), *customer(vendor, licence), status=7
    )
    assert "this is none" in done.stderr


class Service:
    """A process that has the bundle open."""

    def __init__(self, vendor: Vendor, licence: Path, state: Path) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable, str(Path(__file__).with_name("licensed_service.py")),
                str(vendor.bundle), str(vendor.customer), str(licence), str(RECORDING),
            ],
            env={
                "PATH": os.environ["PATH"],
                # The code that ships, not this checkout's.
                "PYTHONPATH": str(vendor.bundle / "runtime"),
                "PYTHONDONTWRITEBYTECODE": "1",
                "ASRPACK_STATE": str(state),
            },
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip

    def ask(self) -> Any:
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, self._process.stderr.read()
        return json.loads(line)

    def stop(self) -> str:
        """What it said on standard error."""
        return self._process.communicate()[1]


@pytest.fixture
def service(vendor: Vendor, tmp_path: Path, state: Path) -> Iterator[Service]:
    (tmp_path / "licence.json").write_bytes(vendor.issue(issued=int(time.time())))
    running = Service(vendor, tmp_path / "licence.json", state)
    yield running
    running.stop()


def test_while_a_service_runs(
    workshop: Workshop, vendor: Vendor, service: Service, tmp_path: Path
) -> None:
    licence = tmp_path / "licence.json"
    assert service.ask() == {"text": TEXT}

    # The vendor shortens it; it ends while the service runs.
    now = int(time.time())
    (tmp_path / "short.json").write_bytes(vendor.issue(issued=now + 1, expires=now + 20))
    (tmp_path / "short.json").replace(licence)
    assert service.ask() == {"text": TEXT}
    while time.time() < now + 20:
        time.sleep(0.2)
    assert service.ask() == {"code": "licence-expired", "exit_code": 7}
    run = ["run", str(vendor.bundle), str(RECORDING), *customer(vendor, licence)]
    expired = workshop.asrpack(*run, status=7)
    assert "expired" in expired.stderr and expired.stdout == ""

    # A renewal, dropped in by name: half of it first, as a copy over a slow line.
    until = time.strftime(DATES, time.gmtime(time.time() + 3600))
    renewal = tmp_path / "renewal" / "licence.json"
    renewal.parent.mkdir()
    workshop.asrpack(*desk(vendor, "renew", licence, "--expires", until, "-o", renewal))
    data = renewal.read_bytes()
    licence.write_bytes(data[:1000])
    assert service.ask() == {"code": "licence-expired", "exit_code": 7}
    licence.write_bytes(data)
    assert service.ask() == {"text": TEXT}
    assert workshop.asrpack(*run).stdout.endswith(f"{TEXT}\n")

    # What is worse changes nothing, for the service; a new process finds nothing better.
    licence.write_bytes(vendor.issue(issued=now))
    assert service.ask() == {"text": TEXT}
    assert "was used here before" in workshop.asrpack(*run, status=7).stderr
    assert service.stop().count("the licence in use stays") == 2
