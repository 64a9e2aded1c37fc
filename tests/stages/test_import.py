"""``import``: what it leaves, and that it leaves the same again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asrpack.bundle.model import ModelDescription
from asrpack.errors import InputError
from asrpack.frontends.sources import read
from asrpack.measure.compare import load_arrays
from asrpack.networks import families
from asrpack.networks.u2_spec import U2Spec, expected_parameters
from asrpack.stages.import_ import Import
from asrpack.stages.stage import Context

U2PP = Path(__file__).parents[2] / "recipes/models/conformer_u2pp_digits_cards"


def run(model: Path, out: Path, checkpoint: str | None = None, **options: bool) -> dict[str, bytes]:
    out.mkdir()
    stage = Import()
    params = Import.Params.model_validate({"checkpoint": checkpoint, **options})
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


def test_a_right_to_left_decoder_where_the_recipe_asks_for_it(tmp_path: Path) -> None:
    description, parameters = read(U2PP, right_to_left=True)
    assert description.graphs == ("encoder", "decoder", "right_decoder")
    assert [spec.name for spec in families.graph_specs(description)] == list(description.graphs)
    plain, same = read(U2PP)
    assert plain.graphs == ("encoder", "decoder") and same.keys() == parameters.keys()
    assert any(".right_decoder." in name for name in parameters)
    run(U2PP, tmp_path / "out", right_to_left=True)
    assert ModelDescription.read(tmp_path / "out" / "model.json") == description


@pytest.mark.parametrize(
    ("name", "field"),
    [("transformer_spm_digits_cards", "decoder:"), ("deepspeech2online_digits_cards", "")],
)
def test_a_right_to_left_decoder_that_is_not_there(name: str, field: str, tmp_path: Path) -> None:
    model = U2PP.with_name(name)
    with pytest.raises(InputError, match="no right-to-left decoder") as caught:
        run(model, tmp_path / "out", right_to_left=True)
    assert caught.value.code == "no-right-decoder"
    place = caught.value.place or ""
    assert place.startswith(str(model / "model.yaml"))
    if field:
        line = int(place.split(":")[1])
        assert (model / "model.yaml").read_text().splitlines()[line - 1].startswith(field)
    assert "reverse_weight" in (caught.value.remedy or "")
