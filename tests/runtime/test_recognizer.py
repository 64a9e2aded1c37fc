"""The recogniser on a tiny model: real graphs, real sessions."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from asrpack.bundle.model import DecodeDefaults
from asrpack.errors import InputError, ToolchainError, UsageError
from asrpack.runtime.recognizer import Recognizer
from tests.runtime import tiny, tiny_paddle

NOISE = np.random.default_rng(0).normal(0, 3000, 32000).astype(np.float32)


@pytest.fixture(scope="module", params=["onnxruntime", "paddle_inference"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def files(target: str) -> dict[str, bytes]:
    return tiny.graphs() if target == "onnxruntime" else tiny_paddle.graphs()


@pytest.fixture(scope="module")
def recognizer(target: str, files: dict[str, bytes]) -> Recognizer:
    return Recognizer(tiny.describe(), files, target=target, threads=1)


@pytest.mark.parametrize("method", tiny.METHODS)
def test_transcribes_by_every_method(recognizer: Recognizer, method: str) -> None:
    found = recognizer.transcribe(NOISE, method)
    # The tiny decoder's table likes nothing better than the end.
    assert (found.tokens or method == "attention") and found.score < 0
    assert 0 < found.confidence <= 1
    assert (
        found.text
        == "".join(tiny.TOKENS[unit].replace("<space>", " ") for unit in found.tokens if unit != 5)
        or 5 in found.tokens
    )
    assert recognizer.transcribe(NOISE, method) == found


def test_the_default_is_the_models(
    recognizer: Recognizer, target: str, files: dict[str, bytes]
) -> None:
    greedy = tiny.describe(decode=DecodeDefaults(method="ctc_greedy_search"))
    other = Recognizer(greedy, files, target=target, threads=1)
    assert other.transcribe(NOISE) == recognizer.transcribe(NOISE, "ctc_greedy_search")
    assert recognizer.transcribe(NOISE) == recognizer.transcribe(NOISE, "attention_rescoring")


@pytest.mark.parametrize("samples", [0, 1, 399, 400, 1359])
@pytest.mark.parametrize("method", tiny.METHODS)
def test_too_little_audio_is_an_empty_text(
    recognizer: Recognizer, samples: int, method: str
) -> None:
    assert not len(recognizer.encode(recognizer.features(NOISE[:samples])).ctc_log_probs)
    found = recognizer.transcribe(NOISE[:samples], method)
    assert (found.text, found.tokens) == ("", ())


def test_seven_frames_are_enough(recognizer: Recognizer) -> None:
    assert len(recognizer.encode(recognizer.features(NOISE[:1360])).ctc_log_probs) == 1


def test_the_longest_audio_and_one_frame_more(recognizer: Recognizer) -> None:
    longest = round(recognizer.max_seconds * 16000)
    assert recognizer.transcribe(np.zeros(longest, np.float32)) is not None
    with pytest.raises(InputError, match=r"this model takes at most 10\.0 s") as caught:
        recognizer.transcribe(np.zeros(longest + 1, np.float32))
    assert caught.value.code == "audio-too-long"


@pytest.mark.parametrize("method", ["ctc_beam_search", "", "ctc", "CTC_GREEDY_SEARCH"])
def test_unknown_method(recognizer: Recognizer, method: str) -> None:
    with pytest.raises(UsageError, match=f"cannot decode with '{method}'") as caught:
        recognizer.transcribe(NOISE, method)
    assert "ctc_greedy_search" in (caught.value.remedy or "")


def test_model_without_a_decoder() -> None:
    about = tiny.describe(graphs=("encoder",), decode=DecodeDefaults(method="ctc_greedy_search"))
    recognizer = Recognizer(about, {"encoder.onnx": tiny.encoder()}, threads=1)
    assert recognizer.transcribe(NOISE).text
    assert "attention_rescoring" not in recognizer.description.methods
    with pytest.raises(UsageError, match="attention_rescoring"):
        recognizer.transcribe(NOISE, "attention_rescoring")


@pytest.mark.parametrize("damage", [lambda _: b"", lambda _: b"no graph", lambda data: data[:20]])
def test_a_graph_that_cannot_be_loaded(target: str, files: dict[str, bytes], damage) -> None:
    code = {"onnxruntime": "onnxruntime-load", "paddle_inference": "paddle-load"}[target]
    for name in filter(lambda name: name.startswith("encoder"), files):
        with pytest.raises(ToolchainError, match=r"encoder\.\w+: \w+ .* cannot load") as caught:
            Recognizer(
                tiny.describe(), files | {name: damage(files[name])}, target=target, threads=1
            )
        assert caught.value.code == code


def test_a_graph_of_another_interface(target: str, files: dict[str, bytes]) -> None:
    wrong = {
        name.replace("decoder", "encoder"): data
        for name, data in files.items()
        if name.startswith("decoder")
    }
    with pytest.raises(ToolchainError, match=r"encoder\.\w+: .*encoder_out") as caught:
        Recognizer(tiny.describe(), files | wrong, target=target, threads=1)
    assert caught.value.code == "graph-interface"


def test_overflow_is_an_error_and_not_a_text(target: str, files: dict[str, bytes]) -> None:
    overflowing = (
        {"encoder.onnx": tiny.encoder(scale=np.inf)}
        if target == "onnxruntime"
        else tiny_paddle.encoder(scale=np.inf)
    )
    recognizer = Recognizer(tiny.describe(), files | overflowing, target=target, threads=1)
    with pytest.raises(ToolchainError, match="not a number"):
        recognizer.transcribe(NOISE, "ctc_greedy_search")


def test_threads_share_one_recogniser(recognizer: Recognizer) -> None:
    pieces = [NOISE[start : start + 12000] for start in range(0, 20000, 2500)]
    expected = [recognizer.transcribe(piece) for piece in pieces]
    found: dict[int, object] = {}

    def work(index: int) -> None:
        found[index] = recognizer.transcribe(pieces[index])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(pieces))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[index] for index in range(len(pieces))] == expected
