"""Fixtures: a vendor, a customer with a licence, their host."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.bundles import SealedBundle
from tests.hostile.conftest import master_bundle
from tests.licence.vendor import FakeHost, Vendor, vendor_of

__all__ = ["master_bundle"]


@pytest.fixture(scope="session")
def vendor(master_bundle: SealedBundle) -> Vendor:
    """Of a bundle that its escrow key opens, and the customer only with a licence."""
    return vendor_of(master_bundle)


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    """With a memory of its own."""
    return FakeHost(tmp_path / "state")


@pytest.fixture
def licence(tmp_path: Path, vendor: Vendor) -> Path:
    """A file with a licence of 30 days."""
    path = tmp_path / "licence.json"
    path.write_bytes(vendor.issue())
    return path
