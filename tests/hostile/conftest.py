"""Fixtures: a sealed bundle without a toolchain."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.bundles import SealedBundle, make_bundle


@pytest.fixture(scope="session")
def master_bundle(tmp_path_factory: pytest.TempPathFactory) -> SealedBundle:
    """Made once; never change it."""
    return make_bundle(tmp_path_factory.mktemp("sealed") / "master")


@pytest.fixture
def sealed_bundle(master_bundle: SealedBundle, tmp_path: Path) -> SealedBundle:
    """A copy to break."""
    return master_bundle.copy(tmp_path / "sealed")
