"""Fixtures: a sealed bundle without a toolchain."""

from tests.hostile.conftest import master_bundle, sealed_bundle

__all__ = ["master_bundle", "sealed_bundle"]
