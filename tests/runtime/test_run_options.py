"""``--nbest``, ``--times`` and ``--hotwords`` in both command lines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrpack.bundle.model import DecodeDefaults, NgramWeights
from asrpack.runtime.recognizer import Recognizer
from asrpack.runtime.search import Encoded, Search
from asrpack.runtime.transcripts import Wishes, transcribe_file
from tests.runtime import tiny
from tests.runtime.conftest import Sealed
from tests.runtime.test_commands import inside, keys, outside
from tests.runtime.test_recognizer import NOISE


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audio")
    soundfile.write(folder / "a.wav", NOISE.astype(np.int16), 16000)
    soundfile.write(folder / "silent.wav", np.zeros(100, np.int16), 16000)
    return folder


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(tiny.describe(), tiny.graphs(), threads=1)


def test_both_command_lines_tell_alternatives_and_times(sealed_once: Sealed, audio: Path) -> None:
    files = [audio / "a.wav", audio / "silent.wav"]
    words = ["run", sealed_once.path, *files, *keys(sealed_once)]
    words += ["--json", "--nbest", 3, "--times"]
    done = outside(*words)
    assert (done.returncode, done.stderr) == (0, "")
    spoken, silent = map(json.loads, done.stdout.splitlines())
    assert len(spoken["nbest"]) == 3
    assert {*spoken["nbest"][0]} == {"text", "score", "confidence"}
    assert {name: spoken[name] for name in spoken["nbest"][0]} == spoken["nbest"][0]
    scores = [item["score"] for item in spoken["nbest"]]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) == 3
    assert 0 < sum(item["confidence"] for item in spoken["nbest"]) <= 1 + 3 * 5e-5
    assert "".join(unit["unit"] for unit in spoken["units"]) == spoken["text"]
    assert silent["nbest"] == [{"text": "", "score": 0.0, "confidence": 1.0}]
    assert silent["units"] == []

    again = inside(sealed_once.path, *words, PYTHONDONTWRITEBYTECODE="1")
    assert (again.returncode, again.stderr) == (0, "")
    ours = [json.loads(line) for line in again.stdout.splitlines()]
    for found, expected in zip(ours, (spoken, silent), strict=True):
        assert {**found, "rtf": None} == {**expected, "rtf": None}


@pytest.mark.parametrize("method", tiny.METHODS)
def test_alternatives_and_times_of_every_method(
    recognizer: Recognizer, audio: Path, method: str
) -> None:
    wishes = Wishes(method, nbest=3, times=True)
    found = transcribe_file(recognizer, audio / "a.wav", wishes)
    assert found.nbest is not None and found.units is not None
    best = found.nbest[0]
    assert (best.text, best.score, best.confidence) == (found.text, found.score, found.confidence)
    assert len(found.nbest) == (1 if method == "ctc_greedy_search" else 3)
    assert sum(item.confidence for item in found.nbest) <= 1 + 3 * 5e-5
    edges = [edge for unit in found.units for edge in (unit.start, unit.end)]
    assert edges == sorted(edges) and all(0 <= edge <= found.duration == 2.0 for edge in edges)
    assert all(0 <= unit.confidence <= 1 for unit in found.units)
    assert "".join(unit.unit for unit in found.units).replace("<space>", " ") == found.text
    plain = transcribe_file(recognizer, audio / "a.wav", Wishes(method))
    assert plain.text == found.text and plain.nbest is plain.units is None
    assert not {"nbest", "units", "segments"} & set(plain.as_dict())


def test_units_behind_the_end_are_not_told(audio: Path) -> None:
    """The text stops at the end of sentence, which CTC may find in the middle."""
    about = tiny.describe(eos_id=tiny.TOKENS.index("b"), sos_id=5)
    recognizer = Recognizer(about, tiny.graphs(), threads=1)
    wishes = Wishes("ctc_greedy_search", times=True)
    found = transcribe_file(recognizer, audio / "a.wav", wishes)
    assert (found.text, found.units) == ("", ())


def test_the_text_so_far_is_as_sure_as_the_final_one(recognizer: Recognizer) -> None:
    search = recognizer.search("ctc_prefix_beam_search")
    search.advance(recognizer.encode(recognizer.features(NOISE)))
    assert search.partial() == search.final()[0]
    assert search.partial().confidence < 0.9


@pytest.mark.parametrize("method", [*tiny.METHODS, "ctc_beam_search"])
def test_alternatives_that_cannot_be_are_not_listed(recognizer: Recognizer, method: str) -> None:
    """JSON has no infinity: two frames cannot spell ``aa``, though the beam has room for it."""
    about = tiny.describe(decode=DecodeDefaults(beam_size=100, ngram=NgramWeights()))
    search = Search(about, method, recognizer.decoders)
    log_probs = np.log(np.full((2, tiny.SIZE), 1 / tiny.SIZE, np.float32))
    search.advance(Encoded(log_probs, np.zeros((2, tiny.BINS), np.float32)))
    found = search.final()
    assert all(np.isfinite(item.score) for item in found)
    assert sum(item.confidence for item in found) == pytest.approx(
        1 / tiny.SIZE if method == "ctc_greedy_search" else 1
    )
    if method == "ctc_beam_search":
        tokens = [item.tokens for item in found]
        assert (2, 3) in tokens and (2, 2) not in tokens


@pytest.mark.parametrize(
    "flags",
    [["--nbest", 3], ["--times"], ["--times", "--json", "--streaming"]],
    ids=["n-best as text", "times as text", "streaming"],
)
def test_what_needs_json_and_whole_recordings(
    streaming_sealed: Sealed, audio: Path, flags: list[object]
) -> None:
    words = ["run", streaming_sealed.path, audio / "a.wav", *keys(streaming_sealed), *flags]
    for done in (
        outside(*words),
        inside(streaming_sealed.path, *words, PYTHONDONTWRITEBYTECODE="1"),
    ):
        assert done.returncode == 2, done.stderr
        said = done.stdout + done.stderr
        assert "of whole recordings" in said and "Traceback" not in said
        assert str(audio) not in done.stdout


@pytest.mark.parametrize("value", ["-1", "two"])
def test_a_count_that_is_none(sealed_once: Sealed, audio: Path, value: str) -> None:
    words = ["run", sealed_once.path, audio / "a.wav", *keys(sealed_once), "--json"]
    words += ["--nbest", value]
    assert outside(*words).returncode == 2
    assert inside(sealed_once.path, *words, PYTHONDONTWRITEBYTECODE="1").returncode == 2


def test_hotwords_in_both_command_lines(
    streaming_sealed: Sealed, audio: Path, tmp_path: Path
) -> None:
    """Whole recordings and streams; a file that is wrong ends the run before any audio."""
    path = tmp_path / "hotwords.txt"
    path.write_text("ab\t12\n", encoding="utf-8")
    words = ["run", streaming_sealed.path, audio / "a.wav", *keys(streaming_sealed)]
    words += ["--decode", "ctc_prefix_beam_search"]
    bundle, quiet = streaming_sealed.path, {"PYTHONDONTWRITEBYTECODE": "1"}
    plain = outside(*words).stdout
    for more in ([], ["--streaming"]):
        one = outside(*words, "--hotwords", path, *more)
        other = inside(bundle, *words, "--hotwords", path, *more, **quiet)
        assert one.returncode == other.returncode == 0, one.stderr + other.stderr
        assert one.stdout == other.stdout != plain
        assert "ab" in one.stdout.rpartition(":")[2]
    path.write_text("xyz\n", encoding="utf-8")
    for done in (
        outside(*words, "--hotwords", path),
        inside(bundle, *words, "--hotwords", path, **quiet),
    ):
        assert (done.returncode, done.stdout) == (3, "")
        assert f"{path}:1: the model has no units that spell 'xyz'" in done.stderr
    path.write_text("ab\n", encoding="utf-8")
    done = inside(bundle, *words[:-1], "ctc_greedy_search", "--hotwords", path, **quiet)
    assert (done.returncode, done.stdout) == (2, "")
    assert "ctc_greedy_search takes no hotwords" in done.stderr
