"""Manifests: both forms that are read, and every fault with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asrpack.errors import AsrpackError, ErrorGroup, InputError
from asrpack.recipe.manifest import MAX_SHOWN, overlap, read_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.wav", "b.wav", "sub/c.wav"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"RIFF" + name.encode())
    (tmp_path / "empty.wav").write_bytes(b"")
    return tmp_path


def write(folder: Path, *lines: object) -> Path:
    path = folder / "set.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def test_both_forms(folder: Path) -> None:
    path = write(
        folder,
        {"audio": "a.wav", "text": "eins", "duration": 1.0},
        "",
        {"utt": "u2", "feat": str(folder / "b.wav"), "text": "zwei ", "feat_shape": [1, 80]},
        {"utt": "u3", "audio": "sub/c.wav", "text": "dr\u2028ei"},
    )
    found = read_manifest(path)
    assert [u.id for u in found] == ["a.wav", "u2", "u3"]
    assert [u.audio for u in found] == [folder / n for n in ("a.wav", "b.wav", "sub/c.wav")]
    assert [u.text for u in found] == ["eins", "zwei ", "dr\u2028ei"]


def test_byte_order_mark_and_windows_lines(folder: Path) -> None:
    path = folder / "set.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"audio": "a.wav", "text": "x"}\r\n')
    assert read_manifest(path)[0].text == "x"


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        ("[" * 100_000, "not JSON"),
        ('{"audio": "a.wav", "audio": "b.wav", "text": "x"}', "given twice"),
        ({"text": "x"}, "`audio` is missing"),
        ({"audio": "a.wav"}, "`text` is missing"),
        ({"audio": "a.wav", "text": " "}, "`text` is empty"),
        ({"audio": "a.wav", "text": 3}, "`text` must be text"),
        ({"audio": 3, "text": "x"}, "`audio` must be text"),
        ({"audio": "", "text": "x"}, "`audio` is empty"),
        ({"audio": "a.wav", "text": "x", "utt": ""}, "`utt` is empty"),
        ({"audio": "no.wav", "text": "x"}, "there is no audio file"),
        ({"audio": "sub", "text": "x"}, "there is no audio file"),
        ({"audio": "a\0.wav", "text": "x"}, "there is no audio file"),
        ({"audio": "a" * 5000, "text": "x"}, "there is no audio file"),
        ({"audio": "empty.wav", "text": "x"}, "is empty"),
    ],
)
def test_fault(folder: Path, line: object, cause: str) -> None:
    path = write(folder, {"audio": "a.wav", "text": "x", "utt": "first"}, line)
    with pytest.raises(ErrorGroup) as caught:
        read_manifest(path)
    (error,) = caught.value.errors
    assert error.place == f"{path}:2" and cause in error.message and error.remedy
    assert error.exit_code == caught.value.exit_code == 3


def test_an_empty_text_where_it_may_be_one(folder: Path) -> None:
    path = write(folder, {"audio": "a.wav", "text": ""})
    assert [u.text for u in read_manifest(path, allow_empty=True)] == [""]
    with pytest.raises(ErrorGroup, match="`text` is missing"):
        read_manifest(write(folder, {"audio": "a.wav"}), allow_empty=True)
    with pytest.raises(ErrorGroup, match="`audio` is empty"):
        read_manifest(write(folder, {"audio": "", "text": ""}), allow_empty=True)


def test_a_path_relative_to_the_working_directory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(folder / "sub", {"audio": "a.wav", "text": "x"}, {"audio": "no.wav", "text": "x"})
    monkeypatch.chdir(folder)
    with pytest.raises(ErrorGroup) as caught:
        read_manifest(path)
    here, nowhere = caught.value.errors
    assert "but there is one relative to the working directory" in here.message
    assert str(folder) in str(here.remedy) and "absolute" in str(here.remedy)
    assert nowhere.message == f"there is no audio file {folder / 'sub' / 'no.wav'}"


def test_duplicate_utterance(folder: Path) -> None:
    line = {"utt": "u", "audio": "a.wav", "text": "x"}
    with pytest.raises(ErrorGroup, match="line 1 already"):
        read_manifest(write(folder, line, {**line, "audio": "b.wav"}))


def test_all_faults_at_once_up_to_a_limit(folder: Path) -> None:
    with pytest.raises(ErrorGroup) as caught:
        read_manifest(write(folder, *["{"] * 50))
    assert len(caught.value.errors) == MAX_SHOWN + 1
    assert "and 30 more" in str(caught.value.errors[-1])


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xff\xfe", b'{"audio": "caf\xe9"}'])
def test_whole_file_faults(folder: Path, data: bytes) -> None:
    path = folder / "set.jsonl"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_manifest(path)
    assert str(path) in str(caught.value.place) and caught.value.remedy


def test_missing_file(folder: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_manifest(folder / "none.jsonl")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=100))
def test_any_bytes(folder: Path, data: bytes) -> None:
    path = folder / "set.jsonl"
    path.write_bytes(data)
    with pytest.raises(AsrpackError):
        read_manifest(path)


def test_overlap_is_found_by_content(folder: Path) -> None:
    (folder / "copy.wav").write_bytes((folder / "a.wav").read_bytes())
    first = read_manifest(write(folder, *({"audio": n, "text": "x"} for n in ("a.wav", "b.wav"))))
    second = read_manifest(
        write(folder, *({"audio": n, "text": "y"} for n in ("sub/c.wav", "copy.wav")))
    )
    assert [(a.id, b.id) for a, b in overlap(first, second)] == [("a.wav", "copy.wav")]
    assert overlap(first[1:], second) == []


def test_overlap_is_found_in_another_lossless_format(quickstart: Path, tmp_path: Path) -> None:
    samples, rate = soundfile.read(quickstart / "data/calibration/00006.flac", dtype="int16")
    soundfile.write(tmp_path / "again.wav", samples, rate)
    soundfile.write(tmp_path / "quieter.wav", samples // 2, rate)
    names = ("quieter.wav", "again.wav")
    second = read_manifest(write(tmp_path, *({"audio": n, "text": "y"} for n in names)))
    first = read_manifest(quickstart / "data/calibration.jsonl")
    (pair,) = overlap(first, second)
    assert (pair[0].audio.name, pair[1].id) == ("00006.flac", "again.wav")


def test_quickstart_sets(quickstart: Path) -> None:
    sets = {
        name: read_manifest(quickstart / f"data/{name}.jsonl")
        for name in ("all", "human", "test", "calibration")
    }
    assert {name: len(found) for name, found in sets.items()} == {
        "all": 105,
        "human": 5,
        "test": 100,
        "calibration": 60,
    }
    assert overlap(sets["calibration"], sets["all"]) == []
    assert {u.audio for u in sets["all"]} == {u.audio for u in sets["human"] + sets["test"]}
