"""The engine, on a real model small enough to make here."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np
import pytest

from asrpack.errors import InputError
from asrpack.runtime.recognizer import Recognizer
from asrpack.runtime.search import Encoded
from asrpack.runtime.service.engine import BusyError, Engine
from asrpack.runtime.service.joining import joins
from tests.runtime import tiny
from tests.runtime.service.in_process import assert_same

RNG = np.random.default_rng(5)
METHOD = "attention_rescoring"


def noise(seconds: float) -> np.ndarray:
    return (RNG.standard_normal(round(16000 * seconds)) * 1000).astype(np.float32)


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(tiny.describe(), tiny.graphs(), threads=1)


@pytest.fixture
def engine(recognizer: Recognizer) -> Iterator[Engine]:
    engine = Engine(recognizer, workers=2, jobs=3)
    yield engine
    engine.close()


@pytest.fixture
def held(recognizer: Recognizer) -> Iterator[tuple[Engine, threading.Event]]:
    """An engine whose only worker is busy until the event is set."""
    engine, go = Engine(recognizer, workers=1, jobs=3), threading.Event()
    began = threading.Event()
    engine.stream(lambda: (began.set(), go.wait()))
    began.wait()
    yield engine, go
    go.set()
    engine.close()


def test_each_result_of_a_batch_is_that_of_the_utterance_alone(recognizer: Recognizer) -> None:
    sizes: list[int] = []
    engine = Engine(recognizer, workers=1, on_batch=lambda size, *_: sizes.append(size))
    samples = [noise(seconds) for seconds in (0, 0.02, 0.5, 3, 0.7, 1.1, 9.9, 2, 2.1, 2.2) * 12]
    futures = [engine.submit(item, METHOD) for item in samples]
    for item, future in zip(samples, futures, strict=True):
        assert_same(future.result().hypothesis, recognizer.transcribe(item, METHOD))
    engine.close()
    assert engine.joined
    assert max(sizes) > 1
    assert sum(sizes) == len(samples)


def test_a_graph_that_mixes_recordings_runs_them_one_by_one() -> None:
    mixing = Recognizer(tiny.describe_streaming(), tiny.streaming_graphs(), threads=1)
    assert not joins(mixing)
    sizes: list[int] = []
    engine = Engine(mixing, workers=2, on_batch=lambda size, *_: sizes.append(size))
    samples = [noise(seconds) for seconds in (1, 2, 1.1) * 8]
    futures = [engine.submit(item, METHOD) for item in samples]
    for item, future in zip(samples, futures, strict=True):
        assert future.result().hypothesis == mixing.transcribe(item, METHOD)
    engine.close()
    assert set(sizes) == {1}


def test_a_graph_of_one_recording_at_a_time_is_not_given_two() -> None:
    class OneOnly(Recognizer):
        def encode_batch(self, feats):
            if len(feats) > 1:
                raise RuntimeError("this axis is 1")
            return super().encode_batch(feats)

    assert not joins(OneOnly(tiny.describe(), tiny.graphs(), threads=1))


@pytest.mark.parametrize(("change", "joined"), [(1e-6, True), (1e-2, False)])
def test_numbers_that_depend_on_neighbours_are_not_joined(change: float, joined: bool) -> None:
    class Scaled(Recognizer):  # as by one scale for all activations of a run
        def encode_batch(self, feats):
            found = super().encode_batch(feats)
            if len(feats) == 1:
                return found
            return [Encoded(item.ctc_log_probs + change, item.encoder_out) for item in found]

    assert joins(Scaled(tiny.describe(), tiny.graphs(), threads=1)) is joined


def test_one_that_fails_fails_alone(engine: Engine, recognizer: Recognizer) -> None:
    good = noise(9.9)
    futures = [engine.submit(item, METHOD) for item in (good, noise(10.5), good, noise(11), good)]
    for place in (0, 2, 4):
        assert_same(futures[place].result().hypothesis, recognizer.transcribe(good, METHOD))
    for place in (1, 3):
        with pytest.raises(InputError, match="at most"):
            futures[place].result()


def test_units_have_times(engine: Engine) -> None:
    found = engine.submit(noise(2), METHOD).result()
    assert [item.unit for item in found.units] == list(found.hypothesis.tokens)
    assert 0 <= found.units[0].start <= found.units[-1].end <= 2


def test_what_was_cancelled_is_not_recognised(held: tuple[Engine, threading.Event]) -> None:
    engine, go = held
    left, kept = engine.submit(noise(1), METHOD), engine.submit(noise(1), METHOD)
    assert engine.waiting() == (2, 2.0)
    assert left.cancel()
    go.set()
    assert kept.result()
    assert left.cancelled()
    assert engine.waiting() == (0, 0.0)


def test_streams_go_first_and_files_are_read_before_they_are_recognised(
    held: tuple[Engine, threading.Event],
) -> None:
    engine, go = held
    order: list[str] = []
    work = [
        (engine.submit(noise(1), METHOD), "utterance"),
        (engine.read(lambda: None), "file"),
        (engine.stream(lambda: None), "stream"),
    ]
    for future, name in work:
        future.add_done_callback(lambda _, name=name: order.append(name))
    go.set()
    engine.close()
    assert order == ["stream", "file", "utterance"]


def test_files_without_speech_do_not_hold_up_what_was_said(
    held: tuple[Engine, threading.Event],
) -> None:
    engine, go = held
    order: list[str] = []
    work = [*((engine.read(lambda: None), "block") for _ in range(40))]
    work.append((engine.submit(noise(1), METHOD), "utterance"))
    for future, name in work:
        future.add_done_callback(lambda _, name=name: order.append(name))
    go.set()
    engine.close()
    # As many blocks as may fill the largest batch, and no more.
    assert order.index("utterance") == 16 and len(order) == 41


def test_no_more_jobs_than_there_is_room_for(engine: Engine) -> None:
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(engine.job())
        with pytest.raises(BusyError) as caught, engine.job():
            pass
        assert (caught.value.code, caught.value.retry_after) == ("busy", 1)
        assert engine.running == 3
    with engine.job():
        assert engine.running == 1


def test_closing_finishes_what_is_there_and_takes_nothing_new(
    held: tuple[Engine, threading.Event],
) -> None:
    engine, go = held
    futures = [engine.submit(noise(1), METHOD) for _ in range(5)]
    go.set()
    engine.close()
    with pytest.raises(BusyError) as caught, engine.job():
        pass
    assert caught.value.code == "draining"
    assert all(future.done() and future.result() for future in futures)
