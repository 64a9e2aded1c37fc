"""What of a model's configuration decides whether it streams, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asrpack.errors import InputError
from asrpack.frontends.paddlespeech_config import Document
from asrpack.frontends.paddlespeech_streaming import streaming_fault
from asrpack.frontends.paddlespeech_u2 import read, recognise
from tests.frontends.test_broken_models import config


@pytest.fixture
def model(model: Path) -> Path:
    """One that was trained to stream."""
    config(
        encoder_conf__use_dynamic_chunk=True,
        encoder_conf__causal=True,
        decode__decoding_chunk_size=-1,
    )(model)
    return model


def test_a_model_that_streams_is_described_with_its_states(model: Path) -> None:
    assert recognise(model).streams
    streaming = read(model, streaming=True)[0].streaming
    assert streaming is not None
    # Its decode section asks for full context, so the chunk is what PaddleSpeech's servers take.
    assert (streaming.chunk_size, streaming.left_chunks) == (16, -1)
    states = [(state.name, state.shape, state.grows) for state in streaming.states]
    assert states == [
        ("att_cache", (2, 1, 2, 0, 16), True),
        ("cnn_cache", (2, 1, 16, 14), False),
    ]


def test_chunks_are_the_models_own(model: Path) -> None:
    config(decode__decoding_chunk_size=8, decode__num_decoding_left_chunks=4)(model)
    streaming = read(model, streaming=True)[0].streaming
    assert streaming is not None
    assert (streaming.chunk_size, streaming.left_chunks) == (8, 4)


def test_streaming_is_had_where_it_is_asked_for(model: Path) -> None:
    assert read(model)[0].streaming is None


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"encoder_conf__use_dynamic_chunk": False}, "use_dynamic_chunk"),
        ({"encoder_conf__use_dynamic_chunk": ...}, "use_dynamic_chunk"),
        (
            {"encoder_conf__use_dynamic_chunk": ..., "encoder_conf__static_chunk_size": 16},
            "chunks of every size",
        ),
        ({"encoder_conf__causal": False}, "look ahead"),
    ],
)
def test_models_that_cannot_stream(model: Path, changes: dict[str, Any], cause: str) -> None:
    config(**changes)(model)
    assert not recognise(model).streams
    with pytest.raises(InputError) as caught:
        read(model, streaming=True)
    fault = caught.value
    assert fault.code == "not-streaming" and cause in fault.message
    assert "model.yaml:" in str(fault.place) and "take `streaming` out" in str(fault.remedy)
    assert read(model)[0].streaming is None


@pytest.mark.parametrize(
    ("changes", "streams"),
    [
        ({"encoder": "squeezeformer"}, False),
        ({"encoder": "transformer", "encoder_conf__causal": ...}, True),
        ({"encoder_conf__causal": False, "encoder_conf__use_cnn_module": False}, True),
    ],
)
def test_other_encoders(model: Path, changes: dict[str, Any], streams: bool) -> None:
    config(**changes)(model)
    assert (streaming_fault(Document.read(model / "model.yaml")) is None) is streams


@pytest.mark.parametrize("value", ["16", 2.5])
def test_a_chunk_size_that_is_none(model: Path, value: Any) -> None:
    config(decode__decoding_chunk_size=value)(model)
    with pytest.raises(InputError, match="decoding_chunk_size"):
        read(model, streaming=True)
    assert read(model)[0].streaming is None
