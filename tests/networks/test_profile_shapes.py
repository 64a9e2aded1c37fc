"""Shapes for TensorRT: of every free axis, from nothing to the longest that the runtime takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from asrpack.bundle.model import ModelDescription, WaveformSpec
from asrpack.errors import InputError
from asrpack.frontends.sources import read
from asrpack.networks.families import graph_specs
from asrpack.networks.profile_shapes import Profile, longest_utterance, profile_shapes
from asrpack.runtime.front_end import FrontEnd

GOLDEN = Path(__file__).parent / "golden"
RECIPES = Path(__file__).parents[2] / "recipes"
PROFILE = Profile((2, 4), (5.0, 20.0))
MODELS = {
    "u2": ("quickstart/conformer_digits_cards", False),
    "u2_streaming": ("quickstart/conformer_digits_cards", True),
    "deepspeech2": ("models/deepspeech2offline_digits_cards", False),
    "deepspeech2_streaming": ("models/deepspeech2online_digits_cards", True),
}


def description(name: str) -> ModelDescription:
    path, streaming = MODELS[name]
    return read(RECIPES / path, streaming=streaming)[0]


@pytest.mark.parametrize("name", MODELS)
def test_shapes(name: str, golden: Callable[[Path, str], None]) -> None:
    shapes = profile_shapes(description(name), PROFILE)
    lines = [
        f"{graph} {item}: {', '.join('x'.join(map(str, shape)) for shape in vars(found).values())}"
        for graph, inputs in shapes.items()
        for item, found in inputs.items()
    ]
    golden(GOLDEN / f"profile_{name}.txt", "\n".join(lines) + "\n")


@pytest.mark.parametrize("name", MODELS)
def test_no_free_axis_is_left_out(name: str) -> None:
    about = description(name)
    shapes = profile_shapes(about, PROFILE)
    for spec in graph_specs(about):
        free = {item.name for item in spec.inputs if any(isinstance(d, str) for d in item.dims)}
        assert set(shapes[spec.name]) == free
        for item in spec.inputs:
            found = shapes[spec.name][item.name]
            assert len(found.min) == len(item.dims)
            for low, likely, high in zip(found.min, found.opt, found.max, strict=True):
                assert low <= likely <= high


@pytest.mark.parametrize("name", MODELS)
def test_the_runtime_takes_no_more_than_the_profile(name: str) -> None:
    about = description(name)
    about = replace(about, max_frames=longest_utterance(about, PROFILE.seconds[1]))
    most = about.max_frames * about.subsampling if about.max_frames else 0
    assert profile_shapes(about, PROFILE)["encoder"]["feats"].max[1] == most
    assert FrontEnd(about.front_end, about.cmvn).frames(20 * 16000) <= most


def test_history_of_a_stream() -> None:
    about = description("u2_streaming")
    assert about.streaming is not None
    some = replace(about, streaming=replace(about.streaming, chunk_size=8, left_chunks=3))
    cache = profile_shapes(some, PROFILE)["encoder"]["att_cache"]
    assert (cache.min[3], cache.max[3]) == (0, 24)
    everything = replace(about, streaming=replace(about.streaming, left_chunks=-1))
    short = Profile((1, 1), (1.0, 2.0))
    # An utterance of a stream lasts up to 20 s, however short recordings are.
    assert profile_shapes(everything, short)["encoder"]["att_cache"].max[3] >= 500


def test_samples() -> None:
    about = ModelDescription(
        family="onnx_ctc",
        front_end=WaveformSpec(),
        cmvn=None,
        tokens=("<blank>", "a"),
        graphs=("encoder",),
        subsampling=320,
        right_context=400,
        max_frames=None,
    )
    shapes = profile_shapes(about, Profile((1, 2), (2.0, 10.0)))
    feats = shapes["encoder"]["feats"]
    assert (feats.min, feats.opt, feats.max) == ((1, 401), (1, 32000), (2, 160000))


def test_longer_than_the_model_takes() -> None:
    with pytest.raises(InputError, match="at most 200") as error:
        profile_shapes(description("u2"), Profile((1, 1), (5.0, 3000.0)))
    assert error.value.place == "tensorrt.profile.seconds.max"
