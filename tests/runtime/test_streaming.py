"""Streams on a tiny model whose output depends on its states: real graphs, real sessions."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from asrpack.bundle.model import ModelDescription
from asrpack.errors import ToolchainError, UsageError
from asrpack.runtime.endpointing import Endpointing
from asrpack.runtime.recognizer import Recognizer
from asrpack.runtime.search import Encoded, Hypothesis
from asrpack.runtime.states import EncoderState
from asrpack.runtime.streaming import Stream, StreamingRecognizer
from tests.runtime import tiny

RATE = 16000
NOISE = np.random.default_rng(0).normal(0, 3000, 4 * RATE).astype(np.float32)


def load(description: ModelDescription) -> StreamingRecognizer:
    return StreamingRecognizer(Recognizer(description, tiny.streaming_graphs(), threads=1))


@pytest.fixture(scope="module")
def streaming() -> StreamingRecognizer:
    return load(tiny.describe_streaming())


def feed(stream: Stream, samples: np.ndarray, size: int) -> Hypothesis:
    """All samples in pieces of one size; the final hypothesis."""
    for start in range(0, len(samples), size):
        stream.accept(samples[start : start + size])
    return stream.finish()


def by_hand(recognizer: Recognizer, samples: np.ndarray) -> Encoded:
    """The chunks of a recording as PaddleSpeech's ``forward_chunk_by_chunk`` cuts them."""
    about = recognizer.description
    assert about.streaming is not None
    feats, state, chunks = recognizer.features(samples), EncoderState.start(about.streaming), []
    for start in range(0, len(feats) - about.right_context, about.streaming.chunk_size * 4):
        window = (about.streaming.chunk_size - 1) * 4 + about.right_context + 1
        encoded, state = recognizer.encode_chunk(feats[start : start + window], state)
        chunks.append(encoded)
    return Encoded(
        np.concatenate([chunk.ctc_log_probs for chunk in chunks]),
        np.concatenate([chunk.encoder_out for chunk in chunks]),
    )


@pytest.mark.parametrize("method", tiny.METHODS)
@pytest.mark.parametrize("seconds", [0.085, 0.3, 1.03, 4.0])
def test_the_final_text_is_that_of_the_chunks(
    streaming: StreamingRecognizer, method: str, seconds: float
) -> None:
    samples = NOISE[: int(seconds * RATE)]
    recognizer = streaming.recognizer
    expected = recognizer.decode(by_hand(recognizer, samples), method)
    assert expected.score < 0
    for size in (37, 160, 1600, RATE * 10):
        assert feed(streaming.stream(method), samples, size) == expected


# The tiny decoder alone finds no text.
@pytest.mark.parametrize("method", sorted({*tiny.METHODS} - {"attention"}))
def test_as_many_hypotheses_as_asked_for_and_found(
    streaming: StreamingRecognizer, method: str
) -> None:
    recognizer = streaming.recognizer
    encoded = by_hand(recognizer, NOISE)
    nbest = recognizer.nbest(encoded, method)
    assert len(nbest) == (1 if method == "ctc_greedy_search" else 4)
    for wanted in (1, 2, 9):
        stream = streaming.stream(method, times=True, nbest=wanted)
        feed(stream, NOISE, 1600)
        (segment,) = stream.segments
        assert [segment.hypothesis, *(item.hypothesis for item in segment.others)] == nbest[:wanted]
        for item in segment.others:
            assert item.units == recognizer.times(encoded, item.hypothesis, segment.end)


def test_history_matters_and_is_limited_as_described() -> None:
    found = {
        left: feed(load(_left(left)).stream("ctc_greedy_search"), NOISE, 1600).tokens
        for left in (-1, 0, 2, 1000)
    }
    assert found[-1] == found[1000]
    assert len(set(found.values())) == 3


def _left(chunks: int) -> ModelDescription:
    about = tiny.describe_streaming()
    assert about.streaming is not None
    return replace(about, streaming=replace(about.streaming, left_chunks=chunks))


@pytest.mark.parametrize("samples", [0, 1, 399, 1359])
def test_too_little_audio_is_an_empty_text(streaming: StreamingRecognizer, samples: int) -> None:
    stream = streaming.stream()
    assert feed(stream, NOISE[:samples], 100).text == ""
    assert stream.segments == []


def test_partial_text_grows_while_audio_arrives(streaming: StreamingRecognizer) -> None:
    stream = streaming.stream("ctc_greedy_search")
    partials = [stream.accept(NOISE[at : at + 800]) for at in range(0, len(NOISE), 800)]
    assert partials[0].text == "" and partials[-1].text
    lengths = [len(partial.tokens) for partial in partials]
    assert lengths == sorted(lengths)
    assert stream.finish().tokens[: lengths[-1]] == partials[-1].tokens


def test_a_stream_ends_once(streaming: StreamingRecognizer) -> None:
    stream = streaming.stream()
    feed(stream, NOISE[:8000], 800)
    for again in (stream.finish, lambda: stream.accept(NOISE)):
        with pytest.raises(UsageError, match="finished"):
            again()


def test_beyond_the_positional_table_the_next_utterance_starts() -> None:
    """12 frames of 40 ms are three chunks; the text goes on in the next segment."""
    short = load(tiny.describe_streaming(max_frames=13))
    stream = short.stream("ctc_greedy_search")
    whole = feed(stream, NOISE, 1600)
    bounds = [(segment.start, segment.end) for segment in stream.segments]
    assert bounds[0] == (0.0, 0.48) and bounds[1] == (0.48, 0.96)
    assert bounds[-1][1] == 4.0 and len(bounds) > 4
    assert whole.text == " ".join(segment.hypothesis.text for segment in stream.segments)
    # A segment starts from empty states: it is what its own audio gives.
    alone = feed(short.stream("ctc_greedy_search"), NOISE[7680 : 7680 + 8200], 999)
    assert alone.text.startswith(stream.segments[1].hypothesis.text)


def test_memory_does_not_grow_with_the_stream() -> None:
    stream = load(tiny.describe_streaming(max_frames=40)).stream("attention_rescoring")
    for _ in range(10):
        stream.accept(NOISE)
    utterance = stream._utterance
    assert sum(map(len, utterance._search._encoder_out)) <= 40
    assert utterance._state.arrays["seen"].shape[3] <= 40
    assert len(stream._waiting) < stream._window


def test_a_history_is_bounded_where_no_positional_table_ends_it() -> None:
    stream = load(tiny.describe_streaming(max_frames=None)).stream("ctc_greedy_search")
    for _ in range(51):
        stream.accept(NOISE)
    assert len(stream.segments) == 1 and stream.segments[0].end == 200.0
    assert stream._utterance._state.offset < 200


def test_utterances_end_at_silence() -> None:
    """A model that hears blank in silence: its text is kept, and where it was said."""
    stream = load(tiny.describe_streaming()).stream(
        "ctc_greedy_search", Endpointing(silence_before_text=60, silence_after_text=0.3)
    )
    blank = SilentGraph(stream._recognizer)
    stream._recognizer = blank  # type: ignore[assignment]
    stream._utterance._recognizer = blank  # type: ignore[assignment]
    silence = np.zeros(RATE, np.float32)
    final = feed(stream, np.concatenate([NOISE[:RATE], silence, NOISE[:RATE], silence]), 1600)
    assert len(stream.segments) == 2
    first, second = stream.segments
    assert first.start == 0.0 and 1.2 <= first.end <= 1.6
    assert second.start < 2.0 <= second.end
    assert final.text == f"{first.hypothesis.text} {second.hypothesis.text}"


class SilentGraph:
    """A recogniser that gives blank for chunks of digital silence."""

    def __init__(self, inner: Recognizer) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def encode_chunk(self, feats: np.ndarray, state: EncoderState) -> tuple[Encoded, EncoderState]:
        encoded, state = self._inner.encode_chunk(feats, state)
        if (feats == feats[0, 0]).all():
            log_probs = np.full_like(encoded.ctc_log_probs, -20.0)
            log_probs[:, 0] = 0.0
            encoded = Encoded(log_probs, encoded.encoder_out)
        return encoded, state


def test_streams_in_threads_do_not_disturb_each_other(streaming: StreamingRecognizer) -> None:
    inputs = [NOISE[at : at + 2 * RATE] for at in range(0, 32000, 4000)]
    alone = [feed(streaming.stream(), samples, 1600) for samples in inputs]
    found: dict[int, Hypothesis] = {}

    def run(index: int) -> None:
        found[index] = feed(streaming.stream(), inputs[index], 500 + 100 * index)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[index] for index in range(len(inputs))] == alone


def test_a_model_that_takes_whole_recordings_does_not_stream() -> None:
    with pytest.raises(UsageError, match="whole recordings") as caught:
        StreamingRecognizer(Recognizer(tiny.describe(), tiny.graphs(), threads=1))
    assert "streaming: {}" in (caught.value.remedy or "")


def test_unknown_methods_are_refused_before_any_audio(streaming: StreamingRecognizer) -> None:
    with pytest.raises(UsageError, match="cannot decode"):
        streaming.stream("viterbi")


def test_a_network_that_gives_no_numbers(streaming: StreamingRecognizer) -> None:
    with pytest.raises(ToolchainError, match="not a number"):
        streaming.stream().accept(np.full(16000, np.nan, np.float32))


def test_the_whole_recording_is_one_chunk(streaming: StreamingRecognizer) -> None:
    recognizer = streaming.recognizer
    feats = recognizer.features(NOISE)
    assert recognizer.description.streaming is not None
    state = EncoderState.start(recognizer.description.streaming)
    chunk, _ = recognizer.encode_chunk(feats, state)
    whole = recognizer.encode(feats)
    np.testing.assert_array_equal(chunk.ctc_log_probs, whole.ctc_log_probs)
    np.testing.assert_array_equal(chunk.encoder_out, whole.encoder_out)
