"""Every bound of a recipe's gate reaches the stage that judges."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.test_compose_streaming import parameters
from tests.recipe.conftest import key_texts, sound

__all__ = ["key_texts", "sound"]


@pytest.mark.parametrize(
    ("override", "name", "value"),
    [
        ("gate.error_rate.max_increase=0.001", "max_increase", 0.001),
        ("gate.deletions={max_increase: 0.002}", "max_deletion_increase", 0.002),
        ("gate.speedup={min: 1.5}", "min_speedup", 1.5),
        ("gate.size={max_ratio: 0.4}", "max_size_ratio", 0.4),
        ("gate.size={max_bytes: 4000000}", "max_size_bytes", 4_000_000),
        ("gate.memory={max_ratio: 0.9}", "max_memory_ratio", 0.9),
        ("gate.memory={max_bytes: 90000000}", "max_memory_bytes", 90_000_000),
        ("gate.cold_start={max_seconds: 2.5}", "max_cold_start", 2.5),
    ],
)
def test_a_bound(sound: Path, override: str, name: str, value: float) -> None:
    before, after = parameters(sound), parameters(sound, override)
    assert getattr(before["gate"], name) is None
    assert getattr(after["gate"], name) == value
    changed = {stage for stage in before if before[stage] != after[stage]}
    assert changed == {"gate", "render"}, "the bundle's documents tell the recipe"
