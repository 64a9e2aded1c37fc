"""What is fuzzed of licences: the document, the host's description, what a host remembers."""

from __future__ import annotations

import base64
import contextlib
import json
import tempfile
from functools import cache
from pathlib import Path

from asrpack.bundle.host import HostBinding
from asrpack.bundle.licence import read_licence
from asrpack.bundle.verify import FormatError, canonical_json, strict_json
from asrpack.runtime.licence_state import LicenceState, Seen
from tests.hostile.bundles import SealedBundle
from tests.licence.vendor import Vendor

FACTORS = {"mac": "02:00:00:00:00:01", "machine-id": "0" * 32, "product-uuid": "x"}
BUNDLE, RECIPIENT = "0d5ae0d2-6d0f-4cf0-9d0f-7a8f9c5e1a2b", "a" * 64


def read(data: bytes) -> None:
    licence = read_licence(data, "licence")
    signed = base64.b64decode(json.loads(data)["payload"])
    assert licence.payload() == signed, "a licence has one form"


def licences(bundle: SealedBundle) -> list[bytes]:
    keys = (bundle.folder / name for name in ("vendor.pem", "old.key", "stranger.key"))
    vendor = Vendor(bundle.path, *keys)
    hosts = tuple(HostBinding.of(FACTORS, bytes([salt]) * 16, 2) for salt in range(2))
    return [vendor.issue(), vendor.issue(expires=None, streams=4, hosts=hosts)]


def read_host(data: bytes) -> None:
    binding = HostBinding.from_json(data, "host")
    assert HostBinding.from_json(binding.to_json(), "host") == binding
    binding.matching({kind: (value,) for kind, value in FACTORS.items()})


def hosts(bundle: SealedBundle) -> list[bytes]:
    return [HostBinding.of(FACTORS, bytes(16), 2).to_json()]


def read_state(data: bytes) -> None:
    """As it is, or with the HMAC put right: else nothing would come past it."""
    path = _state_file()
    with contextlib.suppress(FormatError, TypeError, KeyError):
        raw = strict_json(data, len(data))
        raw["hmac"] = _state(None)._hmac(raw["body"])
        data = canonical_json(raw)
    path.write_bytes(data)
    assert isinstance(_state(path.parent).seen, Seen)


def states(bundle: SealedBundle) -> list[bytes]:
    path = _state_file()
    path.unlink(missing_ok=True)
    _state(path.parent).remember(Seen(7, 1_790_000_000))
    return [path.read_bytes()]


def _state(folder: Path | None) -> LicenceState:
    return LicenceState(folder, BUNDLE, RECIPIENT, bytes(32), lambda text: None)


@cache
def _state_file() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="asrpack-fuzz-"))
    return folder / f"{BUNDLE}.{RECIPIENT[:16]}.json"
