"""What is fuzzed of a vendor's lists of customers. They are read from files."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from asrpack.bundle.host import HostBinding
from asrpack.protect.keys import generate, write_key_pair
from asrpack.recipe.customers import read_customers
from asrpack.trace import customers as listed
from tests.hostile.bundles import SealedBundle

NOW = 1_790_000_000


def read(data: bytes) -> None:
    path = _write("customers.csv", data)
    found = read_customers(path, NOW)
    assert len({item.name.casefold() for item in found}) == len(found) > 0
    for item in found:
        assert item.terms(NOW).customer == item.name


def tables(bundle: SealedBundle) -> list[bytes]:
    _folder()
    return [
        b"customer,recipient\nacme,a.pub\nother,b.pub\n",
        b"customer,recipient,not_before,expires,grace,streams,hosts\r\n"
        b'acme,a.pub,2027-01-01,2027-12-31T12:00:00Z,14,4,"h.json; h.json"\r\n'
        b"b.c@d-e,b.pub,,,,1,\r\n",
    ]


def read_list(data: bytes) -> None:
    found = listed.read_customers(_write("list.txt", data))
    assert len(set(found)) == len(found) > 0 and all(name.strip() == name for name in found)


def lists(bundle: SealedBundle) -> list[bytes]:
    return [
        b"acme\nother\n",
        b'"customer","note"\n"acme","a\nb"\n',
        b'id,customer,since\n1,acme,"a,b"\n2,other,\n',
    ]


def _write(name: str, data: bytes) -> Path:
    path = _folder() / name
    path.write_bytes(data)
    return path


@cache
def _folder() -> Path:
    """With the keys and the host's description that the tables name."""
    folder = Path(tempfile.mkdtemp(prefix="asrpack-fuzz-"))
    for name, kem in (("a.key", "x-wing"), ("b.key", "x25519")):
        write_key_pair(generate("recipient", kem), folder / name)  # type: ignore[arg-type]
    binding = HostBinding.of({"mac": "02:00:00:00:00:01"}, bytes(16), 1)
    (folder / "h.json").write_bytes(binding.to_json())
    return folder
