"""Fixtures: a sealed bundle without a toolchain, and the reader."""

from tests.hostile.conftest import master_bundle, sealed_bundle
from tests.second_reader.compiled import second_reader

__all__ = ["master_bundle", "sealed_bundle", "second_reader"]
