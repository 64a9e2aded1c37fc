"""Graphs with sherpa-onnx's metadata, built here in exactly its layouts, against NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from asrpack.bundle.model import FbankSpec
from asrpack.errors import InputError
from asrpack.frontends.onnx_models import read
from asrpack.runtime.front_end import FrontEnd
from tests.frontends.onnx_graphs import FLOAT, INT32, INT64, ctc, log_softmax, node, save, weights
from tests.frontends.onnx_graphs import model as make
from tests.frontends.test_onnx_ctc import described, imported

UNITS = 9
PIECES = ("<unk>", "<s>", "</s>", "<|zh|>", "▁a", "b", "▁c", "好", "<|nospeech|>")
SENSE_VOICE = {
    "model_type": "sense_voice_ctc",
    "vocab_size": str(UNITS),
    "lfr_window_size": "7",
    "lfr_window_shift": "6",
    "normalize_samples": "0",
    "with_itn": "14",
    "without_itn": "15",
    "lang_auto": "0",
    "lang_en": "4",
    "neg_mean": ",".join(str(-8 - index / 560) for index in range(560)),
    "inv_stddev": ",".join(["0.25"] * 560),
}


def sense_voice(metadata: dict[str, str]) -> onnx.ModelProto:
    """Four prompt frames of language and text norm in front, then a matrix."""
    return make(
        [
            node("Gather", ["embed", "language"], ["e0"]),
            node("Gather", ["embed", "text_norm"], ["e1"]),
            node("Unsqueeze", ["e0", "one"], ["l"]),
            node("Unsqueeze", ["e1", "one"], ["t"]),
            node("Concat", ["l", "l", "l", "t", "x"], ["all"], axis=1),
            node("ReduceMean", ["all"], ["mean"], axes=[1]),
            node("Sub", ["all", "mean"], ["centred"]),
            node("MatMul", ["centred", "w"], ["scores"]),
            node("Cast", ["x_length"], ["n"], to=FLOAT),
            node("Sub", ["n", "n"], ["zero"]),
            node("Unsqueeze", ["zero", "behind"], ["zero3"]),
            node("Add", ["scores", "zero3"], ["logits"]),
        ],
        {
            "x": (FLOAT, ("N", "T", 560)),
            "x_length": (INT32, ("N",)),
            "language": (INT32, ("N",)),
            "text_norm": (INT32, ("N",)),
        },
        {"logits": (FLOAT, ("N", "T4", UNITS))},
        {
            "embed": weights(16, 560, seed=3),
            "one": np.array([1]),
            "w": weights(560, UNITS),
            "behind": np.array([1, 2]),
        },
        metadata,
        opset=13,
    )


def sense_voice_expected(feats: np.ndarray, language: int, text_norm: int) -> np.ndarray:
    embed = weights(16, 560, seed=3)
    everything = np.vstack([embed[[language] * 3 + [text_norm]], feats])
    return log_softmax((everything - everything.mean(0)) @ weights(560, UNITS))[4:]


@pytest.mark.parametrize("language", [None, 4])
def test_sense_voice(tmp_path: Path, language: int | None) -> None:
    path = save(sense_voice(SENSE_VOICE), tmp_path / "model", PIECES)
    more = {"front_end": None}
    if language is not None:
        more["inputs"] = described(path).inputs.model_copy(update={"constants": {"language": 4}})
    found, run = imported(path, tmp_path, **more)
    about = found.description
    assert about.front_end == FbankSpec(
        num_mel_bins=80,
        window="hamming",
        log_floor=1.1920928955078125e-07,
        full_scale=32768.0,
        stack=7,
        stack_shift=6,
    )
    assert (about.family, about.unit_type, about.blank_id) == ("sherpa_onnx", "spm", 0)
    assert (about.subsampling, about.right_context) == (1, 0)
    assert about.cmvn is not None and about.cmvn.mean[:2] == (8.0, 8 + 1 / 560)

    samples = np.random.default_rng(5).standard_normal(16000).astype(np.float32) * 1000
    feats = FrontEnd(about.front_end, about.cmvn)(samples)
    assert feats.shape == (17, 560)  # 98 frames of 10 ms
    outputs = run("encoder", {"feats": feats[None], "feat_lens": np.array([17])})
    wanted = sense_voice_expected(feats, language or 0, 15)
    np.testing.assert_allclose(outputs["ctc_log_probs"][0], wanted, atol=1e-4)
    assert outputs["out_lens"].tolist() == [17]


def test_wenet_ctc(tmp_path: Path) -> None:
    made = ctc(bins=80, lengths=INT64)
    renamed = {"y": "log_probs", "y_lens": "log_probs_lens"}
    for value in made.graph.output:
        value.name = renamed[value.name]
    for item in made.graph.node:
        item.output[:] = [renamed.get(name, name) for name in item.output]
    onnx.helper.set_model_props(made, {"model_type": "wenet_ctc", "subsampling_factor": "4"})
    found = read(described(save(made, tmp_path), front_end=None))
    about = found.description
    assert about.front_end == FbankSpec(num_mel_bins=80, log_floor=1.1920928955078125e-07)
    assert about.subsampling == 4 and "wenet_ctc" in found.reason
    assert found.encoder.out_lengths == "log_probs_lens"


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("paraformer", "Paraformer"),
        ("EncDecCTCModelBPE", "NeMo"),
        ("zipformer2", "transducer"),
        ("zipformer2_ctc", "icefall"),
        ("whisper-tiny.en", "Whisper"),
        ("something", "'something'"),
    ],
)
def test_other_types_are_named(tmp_path: Path, kind: str, what: str) -> None:
    made = ctc()
    onnx.helper.set_model_props(made, {"model_type": kind})
    with pytest.raises(InputError, match=what) as caught:
        read(described(save(made, tmp_path), front_end=None))
    assert caught.value.remedy and "SenseVoice" in caught.value.remedy
    # Described in full, it is what the recipe says.
    assert read(described(tmp_path / "model.onnx")).description.family == "onnx_ctc"


def test_what_the_metadata_tells_cannot_be_told_again(tmp_path: Path) -> None:
    path = save(sense_voice(SENSE_VOICE), tmp_path, PIECES)
    plain = described(path).inputs
    for change in ({"features": "x"}, {"constants": {"langauge": 1}}):
        with pytest.raises(InputError, match="without effect"):
            read(described(path, front_end=None, inputs=plain.model_copy(update=change)))


@pytest.mark.parametrize("key", ["neg_mean", "inv_stddev", "lfr_window_size", "lang_auto"])
@pytest.mark.parametrize("value", [None, "x,y"])
def test_metadata_missing_or_malformed(tmp_path: Path, key: str, value: str | None) -> None:
    metadata = SENSE_VOICE | {key: value or ""}
    if value is None:
        del metadata[key]
    path = save(sense_voice(metadata), tmp_path, PIECES)
    with pytest.raises(InputError) as caught:
        read(described(path, front_end=None))
    assert caught.value.code == "onnx-metadata"
