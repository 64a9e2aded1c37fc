"""The list of expected parameters is what the networks have."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from asrpack.errors import InputError
from asrpack.networks.subsampling_spec import SUBSAMPLINGS
from asrpack.networks.u2_spec import U2Spec, expected_parameters, unused_parameters
from tests.networks.variants import SPEC, VARIANTS


@pytest.mark.parametrize("spec", VARIANTS.values(), ids=VARIANTS)
def test_expected_parameters_are_the_networks(spec: U2Spec) -> None:
    from asrpack.networks.u2 import U2

    state = {name: tuple(value.shape) for name, value in U2(spec).state_dict().items()}
    unused = unused_parameters(spec)
    expected = expected_parameters(spec)
    assert unused <= set(expected)
    assert state == {name: shape for name, shape in expected.items() if name not in unused}


@pytest.mark.parametrize("name", SUBSAMPLINGS)
def test_length_is_what_the_convolutions_give(name: str) -> None:
    subsampling = SUBSAMPLINGS[name]
    for frames in range(1, 200):
        kept = np.arange(frames)
        for kernel, stride in subsampling.layers:
            # Every output frame is named after the first input frame that it sees.
            kept = kept[: max(0, len(kept) - kernel + 1)][::stride]
        assert subsampling.length(frames) == len(kept)
    # The first output frame needs itself and its right context, and no less.
    assert subsampling.length(1 + subsampling.right_context) == 1
    assert subsampling.length(subsampling.right_context) == 0


@pytest.mark.parametrize("name", ["plain", "transformer: plain", "squeezeformer: plain"])
def test_spec_survives_json(name: str) -> None:
    spec = VARIANTS[name]
    assert U2Spec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize("missing", ["vocab_size", "encoder_type", "encoder", "decoder"])
def test_a_spec_that_lacks_a_field(missing: str) -> None:
    raw = SPEC.to_dict()
    del raw[missing]
    with pytest.raises(InputError, match=missing):
        U2Spec.from_dict(raw)


def test_a_spec_with_an_unknown_field() -> None:
    raw = SPEC.to_dict()
    raw["encoder"]["rope"] = True
    with pytest.raises(InputError, match="rope"):
        U2Spec.from_dict(raw)


def test_specs_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SPEC.vocab_size = 3  # type: ignore[misc]
