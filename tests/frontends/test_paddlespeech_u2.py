"""What is read from a sound model directory, in all the forms that PaddleSpeech allows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from asrpack.bundle.model import DecodeDefaults, FbankSpec, ModelDescription
from asrpack.errors import InputError
from asrpack.frontends.paddlespeech_u2 import read, recognise

CHECKPOINTS = "exp/conformer/checkpoints"


def load(model: Path) -> Any:
    return YAML(typ="safe").load(model / "model.yaml")


def dump(model: Path, values: Any, name: str = "model.yaml") -> None:
    with (model / name).open("w", encoding="utf-8") as stream:
        YAML(typ="safe").dump(values, stream)


def test_quickstart(quickstart: Path) -> None:
    description, parameters = read(quickstart / "conformer_digits_cards")
    assert description.family == "paddlespeech_u2"
    assert description.front_end == FbankSpec()
    assert description.decode == DecodeDefaults("attention_rescoring", 10, 0.5)
    assert description.tokens[:3] == ("<blank>", "<unk>", "'")
    assert description.tokens[-2:] == ("<space>", "<eos>")
    assert (description.blank_id, description.sos_id, description.eos_id) == (0, 30, 30)
    assert (description.subsampling, description.right_context) == (4, 6)
    assert description.max_frames == 5000
    assert description.graphs == ("encoder", "decoder")
    assert len(parameters) == 193
    assert {array.dtype for array in parameters.values()} == {np.dtype(np.float32)}
    assert list(parameters) == sorted(parameters)
    again = ModelDescription.from_json(description.to_json())
    assert again.to_json() == description.to_json()


def test_cmvn_is_mean_and_inverse_deviation(model: Path) -> None:
    stats = {"mean_stat": [20.0] * 80, "var_stat": [50.0] * 80, "frame_num": 10}
    (model / "data/mean_std.json").write_text(json.dumps(stats))
    cmvn = read(model)[0].cmvn
    assert cmvn is not None
    # mean 2, variance 5 - 4
    np.testing.assert_allclose(cmvn.mean, 2.0)
    np.testing.assert_allclose(cmvn.istd, 1.0)


@pytest.mark.parametrize(
    ("options", "mean", "istd"),
    [({"norm_means": False}, 0.0, 0.25), ({"norm_vars": False}, 14.0, 1.0)],
)
def test_cmvn_by_halves(model: Path, options: dict[str, bool], mean: float, istd: float) -> None:
    values = load(model)
    values["preprocess_config"]["process"][1].update(options)
    dump(model, values)
    cmvn = read(model)[0].cmvn
    assert cmvn is not None
    np.testing.assert_allclose(cmvn.mean, mean)
    np.testing.assert_allclose(cmvn.istd, istd)


def test_all_inline_is_the_same_as_all_in_files(pristine: Path, model: Path) -> None:
    values = load(model)
    vocabulary, cmvn = model / values["vocab_filepath"], model / "data/mean_std.json"
    values["vocab_filepath"] = vocabulary.read_text(encoding="utf-8").split()
    values["preprocess_config"]["process"][1]["cmvn_path"] = json.loads(cmvn.read_text())
    dump(model, values)
    vocabulary.unlink()
    cmvn.unlink()
    assert read(model)[0] == read(pristine)[0]


def test_preprocessing_in_a_file_of_its_own(pristine: Path, model: Path) -> None:
    values = load(model)
    (model / "conf").mkdir()
    # Its paths are relative to the model directory all the same: PaddleSpeech runs from there.
    dump(model, values["preprocess_config"], "conf/preprocess.yaml")
    values["preprocess_config"] = "conf/preprocess.yaml"
    dump(model, values)
    assert read(model)[0] == read(pristine)[0]


def test_augmentation_is_left_out(pristine: Path, model: Path) -> None:
    values = load(model)
    values["preprocess_config"]["process"] += [
        {"type": "time_warp", "max_time_warp": 5},
        {"type": "freq_mask", "F": 30, "n_mask": 2},
        {"type": "time_mask", "T": 40, "n_mask": 2},
    ]
    dump(model, values)
    assert read(model)[0] == read(pristine)[0]


def test_front_end_options(model: Path) -> None:
    values = load(model)
    step = values["preprocess_config"]["process"][0]
    step.update(fs=8000, n_shift=80, win_length=256)
    dump(model, values)
    fbank = read(model)[0].front_end
    assert fbank == FbankSpec(sample_rate=8000, frame_length_ms=32.0, frame_shift_ms=10.0)


def test_without_cmvn(model: Path) -> None:
    values = load(model)
    del values["preprocess_config"]["process"][1]
    dump(model, values)
    assert read(model)[0].cmvn is None


def test_vocabulary_with_ids_and_without_special_units(pristine: Path, model: Path) -> None:
    path = model / "data/lang_char/vocab.txt"
    inner = path.read_text(encoding="utf-8").split()[1:-1]
    path.write_text("".join(f"{unit} {index}\n" for index, unit in enumerate(inner, 1)))
    assert read(model)[0].tokens == read(pristine)[0].tokens


def test_a_unit_that_unicode_counts_as_a_line_end(model: Path) -> None:
    path = model / "data/lang_char/vocab.txt"
    lines = path.read_text(encoding="utf-8").split("\n")
    lines[5] = "\u2028"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert read(model)[0].tokens[5] == "\u2028"


def test_yaml_1_1_booleans(pristine: Path, model: Path) -> None:
    path = model / "model.yaml"
    text = path.read_text(encoding="utf-8")
    assert "normalize_before: true" in text
    path.write_text(text.replace("normalize_before: true", "normalize_before: yes"))
    assert read(model)[0] == read(pristine)[0]


def test_attention_decoding_reads_as_rescoring(model: Path) -> None:
    values = load(model)
    values["decode"]["decoding_method"] = "attention"
    dump(model, values)
    assert read(model)[0].decode.method == "attention_rescoring"


def checkpoints(model: Path, *names: str) -> None:
    folder = model / CHECKPOINTS
    data = (folder / "avg_1.pdparams").read_bytes()
    (folder / "avg_1.pdparams").unlink()
    for name in names:
        (folder / f"{name}.pdparams").write_bytes(data)


def test_the_only_average_is_chosen(model: Path) -> None:
    checkpoints(model, "10", "11", "avg_10")
    assert recognise(model).checkpoint.name == "avg_10.pdparams"
    assert len(read(model)[1]) > 0


@pytest.mark.parametrize(
    "name", ["11", "11.pdparams", f"{CHECKPOINTS}/11", f"{CHECKPOINTS}/11.pdparams"]
)
def test_a_checkpoint_by_name(model: Path, name: str) -> None:
    checkpoints(model, "10", "11", "avg_10")
    assert recognise(model, name).checkpoint == model / CHECKPOINTS / "11.pdparams"


@pytest.mark.parametrize(
    ("names", "wanted", "code", "says"),
    [
        (("10", "11"), None, "checkpoint-ambiguous", "2 checkpoints"),
        (("avg_10", "avg_20"), None, "checkpoint-ambiguous", "2 checkpoints"),
        (("10", "avg_10"), "avg_1O", "checkpoint-missing", "did you mean 'avg_10'"),
    ],
)
def test_no_telling_which_checkpoint(
    model: Path, names: tuple[str, ...], wanted: str | None, code: str, says: str
) -> None:
    checkpoints(model, *names)
    with pytest.raises(InputError) as caught:
        recognise(model, wanted)
    assert caught.value.code == code
    assert says in caught.value.message
    assert f"{CHECKPOINTS}/{names[0]}.pdparams" in str(caught.value.remedy)


def test_recognised(model: Path) -> None:
    found = recognise(model)
    assert found.family == "paddlespeech_u2"
    assert "conformer" in found.reason
    assert found.files == (
        model / "model.yaml",
        model / "data/lang_char/vocab.txt",
        model / CHECKPOINTS / "avg_1.pdparams",
    )


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("default.yaml", "text-to-speech"),
        ("inference.pdmodel", "Paddle Inference"),
        ("model.onnx", "ONNX"),
        ("final.pt", "PyTorch"),
        ("conf/conformer.yaml", "training recipe"),
        (None, "empty"),
    ],
)
def test_directories_of_another_kind(tmp_path: Path, file: str | None, says: str) -> None:
    if file:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    with pytest.raises(InputError, match=says) as caught:
        recognise(tmp_path)
    assert "conformer" in str(caught.value.remedy)


def test_the_directory_above_the_model(model: Path) -> None:
    with pytest.raises(InputError) as caught:
        recognise(model.parent)
    assert caught.value.remedy == f"give {model} instead"


@pytest.mark.parametrize(("name", "says"), [("none", "no such directory"), ("file", "a file")])
def test_no_directory(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=says):
        recognise(tmp_path / name)


def test_import_needs_no_paddle(quickstart: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from asrpack.frontends.paddlespeech_u2 import read;"
        f"read(Path({str(quickstart / 'conformer_digits_cards')!r}));"
        "assert not {'paddle', 'paddlespeech', 'onnx', 'onnxruntime'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
