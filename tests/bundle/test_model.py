"""``model.json``: what is written is read, and nothing else is."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from asrpack.bundle.model import (
    Cmvn,
    DecodeDefaults,
    FbankSpec,
    ModelDescription,
    NgramWeights,
    State,
    Streaming,
    WaveformSpec,
)
from asrpack.errors import InputError, UsageError

FULL = ModelDescription(
    family="paddlespeech_u2",
    front_end=FbankSpec(window="hamming", full_scale=1.0, stack=7, stack_shift=6),
    cmvn=Cmvn((0.5, -1.0), (1.0, 2.0)),
    tokens=("<blank>", "\u2581a", "你", "<eos>"),
    graphs=("encoder", "decoder"),
    subsampling=4,
    right_context=6,
    max_frames=5000,
    unit_type="spm",
    streaming=Streaming(16, -1, (State("att_cache", (2, 1, 4, 0, 16), grows=True),)),
    decode=DecodeDefaults("ctc_greedy_search", 5, 0.3),
    sos_id=3,
    eos_id=3,
    network={"encoder": {"num_blocks": 2}},
)


@pytest.mark.parametrize(
    "description",
    [
        FULL,
        replace(FULL, front_end=WaveformSpec(8000, 32768.0), cmvn=None, graphs=("encoder",)),
        replace(FULL, streaming=None, max_frames=None),
    ],
    ids=["full", "samples", "whole recordings"],
)
def test_what_is_written_is_read(description: ModelDescription) -> None:
    text = description.to_json()
    assert ModelDescription.from_json(text) == description
    assert ModelDescription.from_json(text).to_json() == text


def test_methods_need_their_graph() -> None:
    assert "attention_rescoring" in FULL.methods
    assert "attention_rescoring" not in replace(FULL, graphs=("encoder",)).methods


@pytest.mark.parametrize(
    ("method", "graphs", "searches"),
    [
        ("ctc_greedy_search", ["encoder"], False),
        ("ctc_beam_search", ["encoder"], True),
        ("attention", ["encoder", "decoder"], False),
        ("attention_rescoring", ["encoder", "decoder", "right_decoder"], False),
    ],
)
def test_what_one_method_needs(method: str, graphs: list[str], searches: bool) -> None:
    decode = DecodeDefaults(ngram=NgramWeights(alpha=1.0, beta=1.5), reverse_weight=0.3)
    whole = replace(FULL, graphs=("encoder", "decoder", "right_decoder"), decode=decode)
    found = whole.decoded_by(method)
    assert ([*found.graphs], found.decode.method) == (graphs, method)
    assert (found.decode.ngram is not None) == searches
    assert found.check_method(None) == method
    assert replace(found, graphs=whole.graphs, decode=decode) == whole


def test_no_method_is_the_models_own_and_a_wrong_one_an_error() -> None:
    about = replace(FULL, decode=DecodeDefaults("attention", reverse_weight=0.0))
    assert about.decoded_by(None).decode.method == "attention"
    with pytest.raises(UsageError, match="cannot decode with 'magic'") as caught:
        about.decoded_by("magic")
    assert caught.value.remedy == f"choose one of {', '.join(about.methods)}"


@pytest.mark.parametrize("name", sorted({*asdict(FULL), "format"}))
def test_a_field_that_is_missing_or_unknown_is_refused(name: str) -> None:
    raw = json.loads(FULL.to_json())
    required = {
        "format", "family", "front_end", "cmvn", "tokens", "graphs", "subsampling",
        "right_context", "max_frames", "streaming", "decode",
    }  # fmt: skip
    value = raw.pop(name)
    if name in required:
        with pytest.raises(InputError) as caught:
            ModelDescription.from_json(json.dumps(raw))
        assert caught.value.code == "model-description"
    with pytest.raises(InputError):
        ModelDescription.from_json(json.dumps({**raw, name: value, f"{name}_": value}))


@pytest.mark.parametrize("section", ["front_end", "decode", "streaming"])
def test_a_section_with_something_else_in_it_is_refused(section: str) -> None:
    raw = json.loads(FULL.to_json())
    raw[section]["extra"] = 1
    with pytest.raises(InputError, match="extra"):
        ModelDescription.from_json(json.dumps(raw))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"format": 1}'])
def test_other_documents_are_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        ModelDescription.from_json(text, "here")
    assert caught.value.place == "here"
