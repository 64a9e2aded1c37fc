"""The list of expected parameters is what the network has."""

from __future__ import annotations

import dataclasses
import json

import pytest

from asrpack.errors import InputError
from asrpack.networks.deepspeech2_spec import (
    CtcBeamSearch,
    DeepSpeech2Spec,
    aliases,
    expected_parameters,
)
from tests.networks.deepspeech2_variants import SPEC, VARIANTS


@pytest.mark.parametrize("spec", VARIANTS.values(), ids=VARIANTS)
def test_expected_parameters_are_the_networks(spec: DeepSpeech2Spec) -> None:
    from asrpack.networks.deepspeech2 import DeepSpeech2

    network = DeepSpeech2(spec)
    expected = expected_parameters(spec)
    assert {name: tuple(value.shape) for name, value in network.named_parameters()} == expected
    # What a checkpoint of it holds: recurrent parameters twice.
    state = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert state == expected | {alias: expected[name] for alias, name in aliases(spec).items()}


def test_spec_survives_json() -> None:
    spec = dataclasses.replace(
        SPEC, fc_layers_size_list=(5, 3), search=CtcBeamSearch("zh.klm", 1.9, 5.0, 300, 0.99, 40)
    )
    assert DeepSpeech2Spec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize("missing", ["vocab_size", "use_gru", "search", "fc_layers_size_list"])
def test_a_spec_that_lacks_a_field(missing: str) -> None:
    raw = SPEC.to_dict()
    del raw[missing]
    with pytest.raises(InputError, match=missing):
        DeepSpeech2Spec.from_dict(raw)


@pytest.mark.parametrize("where", [(), ("search",)])
def test_a_spec_with_an_unknown_field(where: tuple[str, ...]) -> None:
    raw = section = SPEC.to_dict()
    for key in where:
        section = section[key]
    section["momentum"] = 0.9
    with pytest.raises(InputError, match="momentum"):
        DeepSpeech2Spec.from_dict(raw)
