"""``import``: what it leaves, and that it leaves the same again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asrpack.bundle.model import ModelDescription
from asrpack.errors import InputError
from asrpack.measure.compare import load_arrays
from asrpack.networks.u2_spec import U2Spec, expected_parameters
from asrpack.stages.import_ import Import
from asrpack.stages.stage import Context


def run(model: Path, out: Path, checkpoint: str | None = None) -> dict[str, bytes]:
    out.mkdir()
    stage = Import()
    params = Import.Params.model_validate({"checkpoint": checkpoint})
    stage.run(params, {"model": model}, out, Context())
    return {path.name: path.read_bytes() for path in out.iterdir()}


def test_outputs(quickstart: Path, tmp_path: Path) -> None:
    found = run(quickstart / "conformer_digits_cards", tmp_path / "out")
    assert sorted(found) == sorted(Import.outputs)
    description = ModelDescription.read(tmp_path / "out" / "model.json")
    parameters = load_arrays(tmp_path / "out" / "params.npz")
    shapes = expected_parameters(U2Spec.from_dict(description.network))
    assert {name: array.shape for name, array in parameters.items()} == shapes
    assert all(array.dtype == np.float32 for array in parameters.values())


def test_same_bytes_again(quickstart: Path, tmp_path: Path) -> None:
    model = quickstart / "conformer_digits_cards"
    assert run(model, tmp_path / "one") == run(model, tmp_path / "two")


def test_a_checkpoint_that_is_not_there(quickstart: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="avg_2") as caught:
        run(quickstart / "conformer_digits_cards", tmp_path / "out", "avg_2")
    assert caught.value.code == "checkpoint-missing"
