"""What tells one host from another, and the document of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asrpack.bundle.host import KINDS, HostBinding
from asrpack.errors import KeyFileError, ToolchainError, UsageError
from asrpack.runtime.host_factors import describe_host, host_factors

FILES = {
    "etc/machine-id": "0123456789ABCDEF0123456789ABCDEF\n",
    "sys/class/dmi/id/product_uuid": "4C4C4544-0042-3510-8051-B4C04F4A4E32\n",
    "sys/class/dmi/id/board_serial": "/7J5BN32/CN129\n",
    "sys/class/net/eth0/device/vendor": "0x1af4\n",
    "sys/class/net/eth0/addr_assign_type": "0\n",
    "sys/class/net/eth0/address": "52:54:00:12:34:56\n",
    "sys/class/net/lo/addr_assign_type": "0\n",
    "sys/class/net/lo/address": "00:00:00:00:00:00\n",
}


def machine(root: Path, **changes: str) -> Path:
    """A tree as a Linux host has it; ``changes`` by the file's last name."""
    for path, text in FILES.items():
        name = path.rsplit("/", 1)[1].replace("-", "_")
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(changes.get(name, text))
    return root


def test_factors(tmp_path: Path) -> None:
    assert host_factors(machine(tmp_path)) == {
        "machine-id": ("0123456789abcdef0123456789abcdef",),
        "product-uuid": ("4c4c4544-0042-3510-8051-b4c04f4a4e32",),
        "board-serial": ("/7j5bn32/cn129",),
        "mac": ("52:54:00:12:34:56",),
    }


def test_what_many_hosts_have_in_common_is_none(tmp_path: Path) -> None:
    machine(
        tmp_path,
        machine_id="uninitialized\n",
        product_uuid="03000200-0400-0500-0006-000700080009\n",
        board_serial="To be filled by O.E.M.\n",
        addr_assign_type="3\n",  # set by software
    )
    assert host_factors(tmp_path) == {}
    assert host_factors(tmp_path / "none") == {}
    with pytest.raises(ToolchainError) as error:
        describe_host(root=tmp_path)
    assert error.value.code == "host-unknown"


def test_a_board_with_a_device_tree(tmp_path: Path) -> None:
    path = tmp_path / "sys/firmware/devicetree/base/serial-number"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"10000000AB12CD34\0")
    assert host_factors(tmp_path) == {"board-serial": ("10000000ab12cd34",)}


def test_the_document_knows_the_host_and_does_not_name_it(tmp_path: Path) -> None:
    here = describe_host(root=machine(tmp_path))
    data = here.to_json()
    assert HostBinding.from_json(data, "host.json") == here
    raw = json.loads(data)
    assert raw["format"] == "asrpack-host/1" and raw["needed"] == 3
    assert [item["kind"] for item in raw["factors"]] == list(KINDS)
    for values in host_factors(tmp_path).values():
        assert values[0].encode() not in data.lower()
    assert here.matching(host_factors(tmp_path)) == KINDS
    assert describe_host(root=tmp_path).salt != here.salt
    # A new disk: another machine-id, and nothing else.
    machine(tmp_path, machine_id="0" * 32)
    assert here.matching(host_factors(tmp_path)) == ("board-serial", "mac", "product-uuid")


def test_how_many_are_needed(tmp_path: Path) -> None:
    root = machine(tmp_path)
    assert describe_host(1, root).needed == 1
    for needed in (0, 5):
        with pytest.raises(UsageError):
            describe_host(needed, root)


def test_published_hmac() -> None:
    """HMAC-SHA256 of ``machine-id NUL value``, computed with ``openssl dgst -sha256 -mac HMAC``."""
    salt = bytes.fromhex("000102030405060708090a0b0c0d0e0f")
    here = HostBinding.of({"machine-id": "0123456789abcdef0123456789abcdef"}, salt, 1)
    assert here.factors == (
        ("machine-id", "eb590199eb1c3ca86dc1356b94e8f2af531669713a16de4f1d6248802a371e74"),
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b'{"format":"asrpack-host/2","salt":"","needed":1,"factors":[]}',
        b'{"format":"asrpack-host/1","salt":"","needed":1,"factors":[]}',
        b" " * 5000,
    ],
)
def test_what_is_no_document(data: bytes) -> None:
    with pytest.raises(KeyFileError) as error:
        HostBinding.from_json(data, "host.json")
    assert (error.value.code, error.value.place) == ("host-format", "host.json")
