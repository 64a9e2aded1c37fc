"""What tells one Linux host from another, as far as this user may read it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from asrpack.bundle.host import SALT_SIZE, HostBinding
from asrpack.errors import KeyFileError, ToolchainError, UsageError

# The first file that can be read counts; a board without DMI has a device tree.
_FILES = {
    "machine-id": ("etc/machine-id", "var/lib/dbus/machine-id"),
    "product-uuid": ("sys/class/dmi/id/product_uuid",),
    "board-serial": (
        "sys/class/dmi/id/board_serial",
        "sys/firmware/devicetree/base/serial-number",
    ),
}
# What firmware says where its maker filled nothing in: many hosts have it in common.
_PLACEHOLDERS = {
    "",
    "0",
    "00000000-0000-0000-0000-000000000000",
    "03000200-0400-0500-0006-000700080009",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "00:00:00:00:00:00",
    "default string",
    "n/a",
    "none",
    "not applicable",
    "not specified",
    "system serial number",
    "to be filled by o.e.m.",
    "uninitialized",
    "unknown",
}
_MAX_VALUE = 4096
_PERMANENT = "0"  # NET_ADDR_PERM


def host_factors(root: Path = Path("/")) -> dict[str, tuple[str, ...]]:
    """The identifiers of this host by kind (:data:`asrpack.bundle.host.KINDS`).

    A kind that cannot be read, or holds a placeholder, is left out. ``product-uuid`` and
    ``board-serial`` need root on most hosts. ``mac`` has the permanent address of each physical
    network interface.

    Args:
        root: where ``etc`` and ``sys`` are.
    """
    found: dict[str, tuple[str, ...]] = {}
    for kind, paths in _FILES.items():
        value = next((text for path in paths if (text := _read(root / path))), "")
        if value not in _PLACEHOLDERS:
            found[kind] = (value,)
    addresses = tuple(
        address
        for interface in sorted((root / "sys/class/net").glob("*"))
        if (interface / "device").exists()
        and _read(interface / "addr_assign_type") == _PERMANENT
        and (address := _read(interface / "address")) not in _PLACEHOLDERS
    )
    return found | ({"mac": addresses} if addresses else {})


def refuse_other_host(
    hosts: Sequence[HostBinding], factors: Mapping[str, Sequence[str]], place: str
) -> None:
    """Raises KeyFileError where a licence is for certain hosts and none of them has the factors."""
    found = [(host, host.matching(factors)) for host in hosts]
    if not found or any(len(kinds) >= host.needed for host, kinds in found):
        return
    host, kinds = max(found, key=lambda item: len(item[1]) - item[0].needed)
    raise KeyFileError(
        f"the licence is for {len(hosts)} host{'s' if len(hosts) > 1 else ''}, and this is none: "
        f"{host.needed} of {', '.join(kind for kind, _ in host.factors)} must agree with the "
        f"nearest, {', '.join(kinds) or 'nothing'} does, and "
        f"{', '.join(sorted(factors)) or 'nothing'} can be read here",
        code="licence-host",
        place=place,
        remedy="run it on the licensed host, as the user who described it; for this host, send the "
        "vendor what `asrpack license host` prints",
    )


def describe_host(needed: int | None = None, root: Path = Path("/")) -> HostBinding:
    """A document of this host for its vendor, under a fresh salt.

    Args:
        needed: how many of the factors must be found again; more than half of them if None.
        root: as for :func:`host_factors`.

    Raises:
        ToolchainError: nothing here tells this host from another.
        UsageError: ``needed`` is more than can be read here.
    """
    values = {kind: items[0] for kind, items in host_factors(root).items()}
    if not values:
        raise ToolchainError(
            "nothing that this user can read tells this host from another",
            code="host-unknown",
            place=str(root),
            remedy="let the host have an /etc/machine-id, or license it without binding",
        )
    if needed is not None and not 1 <= needed <= len(values):
        raise UsageError(
            f"{needed} factors cannot be needed: this host has {', '.join(sorted(values))}",
            code="host-needed",
            remedy=f"give 1 to {len(values)}",
        )
    needed = len(values) // 2 + 1 if needed is None else needed
    return HostBinding.of(values, secrets.token_bytes(SALT_SIZE), needed)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_VALUE)
    except OSError:
        return ""
    return data.decode(errors="replace").strip("\0 \t\r\n").lower()
