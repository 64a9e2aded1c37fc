"""``configure``: the recipe's decoding options over the model's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asrpack.bundle.model import DecodeDefaults, ModelDescription, NgramWeights
from asrpack.errors import InputError
from asrpack.frontends.sources import read
from asrpack.stages.configure import Configure
from asrpack.stages.stage import Context
from tests.runtime import tiny

MODELS = Path(__file__).parents[2] / "recipes/models"


@pytest.fixture(scope="module")
def deepspeech2() -> ModelDescription:
    """Tuned with alpha 0.5 and beta 2 for a language model of its own."""
    return read(MODELS / "deepspeech2online_digits_cards")[0]


def configured(folder: Path, description: ModelDescription, **options: Any) -> DecodeDefaults:
    (folder / "given.json").write_text(description.to_json(), encoding="utf-8")
    stage = Configure()
    params = stage.Params.model_validate(options)
    stage.run(params, {"description": folder / "given.json"}, folder, Context())
    found = ModelDescription.read(folder / "model.json")
    assert replace(found, decode=description.decode) == description
    return found.decode


def searched(description: ModelDescription, **changes: Any) -> ModelDescription:
    """With another ``search`` of its network."""
    search = {**description.network["search"], **changes}
    return replace(description, network={**description.network, "search": search})


def test_what_is_not_given_stays(tmp_path: Path) -> None:
    own = DecodeDefaults("ctc_greedy_search", 7, 0.3)
    assert configured(tmp_path, tiny.describe(decode=own)) == own
    found = configured(tmp_path, tiny.describe(decode=own), beam_size=3, method="attention")
    assert found == replace(own, method="attention", beam_size=3)
    assert configured(tmp_path, tiny.describe(), reverse_weight=0.3).reverse_weight == 0.3


@pytest.mark.parametrize(
    ("graphs", "method"),
    [
        (("encoder",), "attention_rescoring"),
        (("encoder",), "attention"),
        (("encoder", "decoder"), "ctc_beam_search"),
    ],
)
def test_a_method_that_the_model_lacks(
    tmp_path: Path, graphs: tuple[str, ...], method: str
) -> None:
    own = DecodeDefaults("ctc_greedy_search")
    with pytest.raises(InputError, match=f"cannot be decoded by {method}") as caught:
        configured(tmp_path, tiny.describe(graphs=graphs, decode=own), method=method)
    assert caught.value.place == "decode.method"
    assert "ctc_prefix_beam_search" in (caught.value.remedy or "")


def test_a_language_model_brings_its_method(tmp_path: Path) -> None:
    found = configured(tmp_path, tiny.describe(), ngram={}, method="ctc_beam_search")
    assert (found.method, found.ngram) == ("ctc_beam_search", NgramWeights())
    found = configured(tmp_path, tiny.describe(), ngram={"alpha": 0.0, "cutoff_top_n": 9})
    assert found.ngram == NgramWeights(alpha=0.0, cutoff_top_n=9)
    assert found.method == "attention_rescoring"


def test_weights_that_a_deepspeech2_model_was_tuned_with(
    tmp_path: Path, deepspeech2: ModelDescription
) -> None:
    assert deepspeech2.decode.ngram is None
    assert configured(tmp_path, deepspeech2, ngram={}).ngram == NgramWeights(0.5, 2.0, 1.0, 40)
    found = configured(tmp_path, deepspeech2, ngram={"beta": 0.0, "cutoff_prob": 0.9})
    assert found.ngram == NgramWeights(0.5, 0.0, 0.9, 40)
    cut = searched(deepspeech2, cutoff_prob=0.99, cutoff_top_n=20)
    assert configured(tmp_path, cut, ngram={}).ngram == NgramWeights(0.5, 2.0, 0.99, 20)


@pytest.mark.parametrize(
    ("changes", "weights"),
    [
        ({"lang_model_path": "", "cutoff_top_n": 20}, NgramWeights()),
        ({"alpha": 0.0}, NgramWeights(beta=2.0)),
        ({"alpha": 0.0, "beta": 0.0}, NgramWeights()),
    ],
    ids=["no language model", "no alpha", "neither"],
)
def test_one_that_was_not_tuned(
    tmp_path: Path, deepspeech2: ModelDescription, changes: dict[str, Any], weights: NgramWeights
) -> None:
    assert configured(tmp_path, searched(deepspeech2, **changes), ngram={}).ngram == weights


def test_other_families_have_no_such_weights(tmp_path: Path, deepspeech2: ModelDescription) -> None:
    other = replace(deepspeech2, family="paddlespeech_u2")
    assert configured(tmp_path, other, ngram={}).ngram == NgramWeights()


@pytest.mark.parametrize("unit_type", ["word", "spm"])
def test_a_language_model_needs_characters(tmp_path: Path, unit_type: str) -> None:
    with pytest.raises(InputError, match=f"of type {unit_type}") as caught:
        configured(tmp_path, tiny.describe(unit_type=unit_type), ngram={"alpha": 1.0})
    assert caught.value.code == "language-model-units"


def test_no_longer_recordings_than_the_target_takes(tmp_path: Path) -> None:
    (tmp_path / "given.json").write_text(tiny.describe().to_json(), encoding="utf-8")
    stage = Configure()
    params = stage.Params.model_validate({"max_seconds": 5.0})
    stage.run(params, {"description": tmp_path / "given.json"}, tmp_path, Context())
    assert ModelDescription.read(tmp_path / "model.json").max_frames == 125  # 40 ms each
    params = stage.Params.model_validate({"max_seconds": 11.0})
    with pytest.raises(InputError, match="at most 10"):
        stage.run(params, {"description": tmp_path / "given.json"}, tmp_path, Context())
