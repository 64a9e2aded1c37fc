"""What the probe takes from a manifest."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrpack.bundle.model import Cmvn, FbankSpec, ModelDescription
from asrpack.errors import InputError
from asrpack.runtime.audio import read_audio
from asrpack.runtime.front_end import FrontEnd
from asrpack.stages.probe import Probe
from asrpack.stages.stage import Context

ABOUT = ModelDescription(
    family="test",
    front_end=FbankSpec(),
    cmvn=Cmvn((10.0,) * 80, (0.5,) * 80),
    tokens=("<blank>", "<unk>", "a", "b", "<space>", "<eos>"),
    subsampling=4,
    right_context=6,
    max_frames=5000,
    graphs=("encoder", "decoder"),
)
LENGTHS = [8000, 1000, 16000, 4000, 12000, 2000]
TEXTS = ["a b", "a", "ab?ba", " b  a ", "a", "bb"]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "set.jsonl"
    with path.open("w") as lines:
        for index, (length, text) in enumerate(zip(LENGTHS, TEXTS, strict=True)):
            noise = rng.integers(-3000, 3000, length).astype(np.int16)
            soundfile.write(tmp_path / f"{index}.wav", noise, 16000)
            lines.write(json.dumps({"audio": f"{index}.wav", "text": text}) + "\n")
    return path


def probe(manifest: Path, about: ModelDescription, count: int) -> dict[str, np.ndarray]:
    out = manifest.parent / "out"
    out.mkdir()
    description = manifest.parent / "model.json"
    description.write_text(about.to_json())
    inputs = {"description": description, "manifest": manifest}
    Probe().run(Probe.Params(utterances=count), inputs, out, Context())
    assert [path.name for path in out.iterdir()] == ["probe.npz"]
    with np.load(out / "probe.npz") as arrays:
        return dict(arrays)


def test_holds_real_features_padded_with_zeros(manifest: Path) -> None:
    found = probe(manifest, ABOUT, 10)
    assert {name: array.dtype for name, array in found.items()} == {
        "feats": np.float32,
        "feat_lens": np.int64,
        "hyps_in": np.int64,
        "hyps_lens": np.int64,
    }
    # By length; the one of 1000 samples gives 4 frames, too few for the network.
    order = [5, 3, 0, 4, 2]
    assert found["feat_lens"].tolist() == [1 + (LENGTHS[i] - 400) // 160 for i in order]
    assert found["feats"].shape == (5, found["feat_lens"].max(), 80)
    for row, length, index in zip(found["feats"], found["feat_lens"], order, strict=True):
        samples = read_audio(manifest.parent / f"{index}.wav", 16000)
        assert np.array_equal(row[:length], FrontEnd(ABOUT.front_end, ABOUT.cmvn)(samples))
        assert not row[length:].any()


def test_holds_the_references_as_the_decoder_takes_them(manifest: Path) -> None:
    found = probe(manifest, ABOUT, 10)
    assert found["hyps_in"].tolist() == [
        [5, 3, 3, 5, 5, 5],  # bb
        [5, 3, 4, 2, 5, 5],  # b a, white space brought to order
        [5, 2, 4, 3, 5, 5],  # a b
        [5, 2, 5, 5, 5, 5],  # a
        [5, 2, 3, 1, 3, 2],  # ab<unk>ba
    ]
    assert found["hyps_lens"].tolist() == [3, 4, 4, 2, 6]


@pytest.mark.parametrize(
    ("unit_type", "tokens", "expected"),
    [
        (
            "char",
            ("<blank>", "<unk>", "a", "b", "<eos>"),
            [[4, 3, 3], [4, 3, 2], [4, 2, 3], [4, 2, 4]],
        ),
        ("word", ("<blank>", "b", "bb", "<eos>"), [[3, 2], [3, 1], [3, 1], [3, 0]]),
        (
            "spm",
            ("<blank>", "<unk>", "\u2581", "\u2581b", "b", "a", "<eos>"),
            [[6, 3, 4], [6, 3, 2], [6, 2, 5], [6, 2, 5]],
        ),
    ],
    ids=["no space", "words, no unk", "pieces"],
)
def test_other_vocabularies(
    manifest: Path, unit_type: str, tokens: tuple[str, ...], expected: list
) -> None:
    found = probe(manifest, replace(ABOUT, tokens=tokens, unit_type=unit_type), 10)
    width = len(expected[0])
    assert found["hyps_in"][:4, :width].tolist() == expected


@pytest.mark.parametrize(
    ("count", "picked"), [(1, [0]), (2, [0, 5]), (3, [0, 2, 5]), (6, range(6))]
)
def test_takes_an_even_spread_of_lengths(manifest: Path, count: int, picked: list[int]) -> None:
    about = replace(ABOUT, right_context=0)
    by_length = sorted(LENGTHS)
    expected = [1 + (by_length[index] - 400) // 160 for index in picked]
    assert probe(manifest, about, count)["feat_lens"].tolist() == expected


def test_the_same_bytes_again(manifest: Path, tmp_path: Path) -> None:
    probe(manifest, ABOUT, 3)
    first = (tmp_path / "out" / "probe.npz").read_bytes()
    (tmp_path / "out").rename(tmp_path / "before")
    probe(manifest, ABOUT, 3)
    assert (tmp_path / "out" / "probe.npz").read_bytes() == first


def test_nothing_long_enough(manifest: Path) -> None:
    with pytest.raises(InputError, match="too short") as caught:
        probe(manifest, replace(ABOUT, right_context=1000), 10)
    assert caught.value.code == "probe-short"


def test_a_recording_longer_than_the_model_takes(manifest: Path) -> None:
    with pytest.raises(InputError, match=r"2\.wav: the audio lasts 1\.0 s"):
        probe(manifest, replace(ABOUT, max_frames=20), 10)
