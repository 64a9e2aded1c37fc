"""Files of hotwords, and what they change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asrpack.bundle.model import DecodeDefaults, ModelDescription
from asrpack.errors import InputError, UsageError
from asrpack.runtime import commands, load
from asrpack.runtime.decoding.context_graph import START
from asrpack.runtime.hotwords import DEFAULT_BOOST, read_hotwords
from asrpack.runtime.recognizer import Recognizer
from asrpack.runtime.search import HOTWORD_METHODS
from asrpack.runtime.text import units_of
from tests.runtime import tiny
from tests.runtime.conftest import Sealed
from tests.runtime.test_recognizer import NOISE

A, B, SPACE = 2, 3, 4
WORDS = ("<blank>", "<unk>", "one", "two", "<eos>")
PIECES = ("<blank>", "<unk>", "\u2581", "\u2581a", "b", "ab", "\u2581ab", "<eos>")


def earned(path: Path, about: ModelDescription, *phrases: tuple[int, ...]) -> list[float]:
    """What each phrase, said alone, adds to a score for good."""
    graph = read_hotwords(path, about)
    totals = []
    for units in phrases:
        state, total = START, 0.0
        for unit in units:
            state = graph.step(state, unit)
            total += float(graph.award[state])
        totals.append(total)
    return totals


def written(folder: Path, data: bytes) -> Path:
    path = folder / "hotwords.txt"
    path.write_bytes(data)
    return path


def test_a_phrase_a_line_with_its_boost(tmp_path: Path) -> None:
    lines = b"# names\n\nab\nba a\t1.5\n   \n  aa  \t\nbb\t-2\n"
    path = written(tmp_path, lines)
    phrases = (A, B), (B, A, SPACE, A), (A, A), (B, B)
    assert earned(path, tiny.describe(), *phrases) == [
        2 * DEFAULT_BOOST,
        # Its first unit begins `bb`, too, but the larger boost counts.
        4 * 1.5,
        2 * DEFAULT_BOOST,
        1.5 - 2,
    ]


@pytest.mark.parametrize(
    "data",
    [b"\xef\xbb\xbfab\t2\r\nb\r\n", b"\xef\xbb\xbf# note\r\nab\t2\r\nb", b"ab\t2 \n\nb\n\n"],
    ids=["mark and CR LF", "comment behind the mark", "blanks"],
)
def test_files_of_any_editor(tmp_path: Path, data: bytes) -> None:
    path = written(tmp_path, data)
    assert earned(path, tiny.describe(), (A, B), (B,)) == [4.0, DEFAULT_BOOST]


@pytest.mark.parametrize(
    ("data", "line", "cause"),
    [
        (b"ab\nabc\n", ":2", "no units that spell 'abc'"),
        (b"# one\r\n\r\nb\xc3\xa4\r\n", ":3", "no units that spell 'bä'"),
        (b"\t3\n", ":1", "no units that spell ''"),
        (b"ab\tmuch\n", ":1", "the boost 'much' is not a number"),
        (b"ab\tnan\n", ":1", "the boost 'nan' is not a number"),
        (b"a\nab\t1e999\n", ":2", "the boost '1e999' is not a number"),
        (b"ab\t1\t2\n", ":1", "is not a number"),
        (b"", "", "there are no hotwords in it"),
        (b"# ab\n\n", "", "there are no hotwords in it"),
        (b"caf\xe9\n", "", "it is not UTF-8"),
        (b"ab\n" + b"a" * 201, ":2", "'aaaaaaaaaaaaaaaaaaaa'... has over 200 characters"),
    ],
    ids=str,
)
def test_what_cannot_be_used(tmp_path: Path, data: bytes, line: str, cause: str) -> None:
    path = written(tmp_path, data)
    with pytest.raises(InputError, match=cause) as caught:
        read_hotwords(path, tiny.describe())
    assert caught.value.place == f"{path}{line}"
    assert caught.value.code == "hotwords" and "a phrase a line" in (caught.value.remedy or "")


def test_a_phrase_of_200_characters(tmp_path: Path) -> None:
    phrases = (A,) * 200
    path = written(tmp_path, b"  a" + b"a" * 199 + b"  \t1\n")
    assert earned(path, tiny.describe(), phrases) == [200.0]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_hotwords(tmp_path / "none.txt", tiny.describe())
    with pytest.raises(InputError, match="Is a directory"):
        read_hotwords(tmp_path, tiny.describe())
    if os.geteuid() != 0:
        path = written(tmp_path, b"ab\n")
        path.chmod(0)
        with pytest.raises(InputError, match="Permission denied"):
            read_hotwords(path, tiny.describe())


@pytest.mark.parametrize(
    ("text", "tokens", "unit_type", "units"),
    [
        ("a b", tiny.TOKENS, "char", [A, SPACE, B]),
        ("a b", ("<blank>", "a", "b"), "char", [1, 2]),
        ("acb", tiny.TOKENS, "char", [A, None, B]),
        ("", tiny.TOKENS, "char", []),
        ("two one", WORDS, "word", [3, 2]),
        ("two three one", WORDS, "word", [3, None, 2]),
        ("abab", PIECES, "spm", [6, 5]),
        ("abb ab", PIECES, "spm", [6, 4, 6]),
        ("b ac", PIECES, "spm", [2, 4, 3, None]),
    ],
)
def test_units_that_spell_a_text(
    text: str, tokens: tuple[str, ...], unit_type: str, units: list[int | None]
) -> None:
    assert units_of(text, tokens, unit_type) == units


@pytest.mark.parametrize(
    ("tokens", "unit_type", "line", "units"),
    [(WORDS, "word", b"one  two", (2, 3)), (PIECES, "spm", b" abb ", (6, 4))],
)
def test_phrases_of_words_and_pieces(
    tmp_path: Path, tokens: tuple[str, ...], unit_type: str, line: bytes, units: tuple[int, ...]
) -> None:
    about = tiny.describe(tokens=tokens, unit_type=unit_type)
    assert earned(written(tmp_path, line), about, units) == [DEFAULT_BOOST * len(units)]


@pytest.mark.parametrize("method", HOTWORD_METHODS)
def test_a_hotword_changes_the_text(tmp_path: Path, method: str) -> None:
    """On an encoder that is not sure, with a beam that looks at all units."""
    about = tiny.describe(decode=DecodeDefaults(beam_size=tiny.SIZE))
    graphs = tiny.graphs() | {"encoder.onnx": tiny.encoder(scale=0.03)}
    recognizer = Recognizer(about, graphs, threads=1)
    encoded = recognizer.encode(recognizer.features(NOISE))
    plain = recognizer.decode(encoded, method).text
    hotwords = read_hotwords(written(tmp_path, b"ab\t8\n"), recognizer.description)
    helped = recognizer.decode(encoded, method, hotwords).text
    assert "ab" not in plain and "ab" in helped
    # A phrase that is there anyway, or of no weight, changes nothing.
    none = read_hotwords(written(tmp_path, b"ab\t0\n"), recognizer.description)
    assert recognizer.decode(encoded, method, none).text == plain


@pytest.mark.parametrize("method", ["ctc_greedy_search", "attention"])
def test_methods_without_hotwords_say_so_before_any_audio_is_read(
    sealed_once: Sealed, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "harden_process", lambda: None)
    monkeypatch.setattr(commands, "transcribe_file", None)
    with pytest.raises(UsageError, match=f"{method} takes no hotwords") as caught:
        commands.run(
            sealed_once.path,
            [tmp_path / "none.wav"],
            identity=str(sealed_once.identity),
            trust=[sealed_once.trust],
            decode=method,
            hotwords=written(tmp_path, b"ab\n"),
        )
    assert all(name in (caught.value.remedy or "") for name in HOTWORD_METHODS)
