"""Folders, standard input, formats and output folders, in both command lines."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import webvtt

from asrpack.runtime.output_folder import JOURNAL
from tests.interrupts import interrupt, start
from tests.runtime.conftest import Sealed
from tests.runtime.test_commands import inside, keys, outside
from tests.runtime.test_recognizer import NOISE

QUIET = {"PYTHONDONTWRITEBYTECODE": "1"}
ENVIRONMENT = os.environ | QUIET


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    """Three recordings in a folder and one below it, with something else."""
    folder = tmp_path / "audio"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(("a.wav", "b.flac", "more/c.wav")):
        soundfile.write(folder / name, NOISE[1000 * number :].astype(np.int16), 16000)
    (folder / "notes.txt").write_text("no audio")
    return folder


def run(sealed: Sealed, *words: object) -> subprocess.CompletedProcess:
    return outside("run", sealed.path, *words, *keys(sealed))


def texts(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.name != JOURNAL
    }


def test_a_folder_and_standard_input(sealed_once: Sealed, audio: Path, tmp_path: Path) -> None:
    """What a file gives by itself, it gives in a folder and from standard input."""
    files = [audio / name for name in ("a.wav", "b.flac", "more/c.wav")]
    one = run(sealed_once, *files, "--workers", 1)
    assert (one.returncode, one.stderr) == (0, "")
    assert run(sealed_once, audio).stdout == one.stdout
    done = inside(sealed_once.path, "transcribe", audio, *keys(sealed_once), **QUIET)
    assert (done.returncode, done.stdout, done.stderr) == (0, one.stdout, "")
    words = ["run", sealed_once.path, "-", *keys(sealed_once)]
    piped = subprocess.run(
        [sys.executable, "-m", "asrpack", *map(str, words)],
        stdin=files[0].open("rb"),
        capture_output=True,
        text=True,
    )
    assert piped.stdout.removeprefix("-: ") == one.stdout.splitlines(keepends=True)[0].removeprefix(
        f"{files[0]}: "
    )


def test_a_wav_stream_whose_header_has_no_size(
    sealed_once: Sealed, audio: Path, tmp_path: Path
) -> None:
    """From a file and from a pipe."""
    whole = (audio / "a.wav").read_bytes()
    at = whole.index(b"data") + 4
    (tmp_path / "a.wav").write_bytes(streamed := whole[:at] + bytes(4) + whole[at + 4 :])
    expected = run(sealed_once, audio / "a.wav").stdout.partition(": ")[2]
    assert expected.strip()
    assert run(sealed_once, tmp_path / "a.wav").stdout.partition(": ")[2] == expected
    words = ["run", sealed_once.path, "-", *keys(sealed_once)]
    piped = subprocess.run(
        [sys.executable, "-m", "asrpack", *map(str, words)], input=streamed, capture_output=True
    )
    assert piped.stdout.decode() == f"-: {expected}"


def test_formats(sealed_once: Sealed, audio: Path, tmp_path: Path) -> None:
    """Each is a file of its own, and what standard output shows of it is the same."""
    (line,) = run(sealed_once, audio / "a.wav", "--json", "--times").stdout.splitlines()
    spoken = json.loads(line)
    words = [word for segment in spoken["segments"] for word in segment["words"]]
    assert " ".join(word["word"] for word in words) == " ".join(spoken["text"].split())
    for form, suffix in (
        ("text", "txt"),
        ("json", "json"),
        ("srt", "srt"),
        ("vtt", "vtt"),
        ("ctm", "ctm"),
    ):
        out = tmp_path / form
        done = run(sealed_once, audio / "a.wav", "--format", form, "-o", out)
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr == "asrpack: 1 of 1 transcribed (0:00:02 of audio)\n"
        (written,) = texts(out).items()
        assert written[0] == f"a.{suffix}"
        shown = run(sealed_once, audio / "a.wav", "--format", form).stdout
        if form == "text":
            assert written[1] == f"{spoken['text'].strip()}\n"
        elif form == "json":
            for text in (shown, written[1]):
                assert json.loads(text)["text"] == spoken["text"]
        else:
            assert shown == written[1]
    captions = webvtt.read(tmp_path / "vtt" / "a.vtt")
    assert " ".join(item.text.replace("\n", " ") for item in captions) == spoken["text"].strip()
    ctm = [line.split() for line in (tmp_path / "ctm" / "a.ctm").read_text().splitlines()]
    assert [line[4] for line in ctm] == [word["word"] for word in words]
    assert {line[0] for line in ctm} == {"a"}


def test_a_folder_goes_on_where_it_was(sealed_once: Sealed, audio: Path, tmp_path: Path) -> None:
    """Done is done; what changed, failed or has other options is done again, and only that."""
    out = tmp_path / "out"
    (audio / "bad.wav").write_text("no audio")
    done = run(sealed_once, audio, "-o", out)
    assert done.returncode == 3 and done.stderr.count("remedy:") == 1
    assert done.stderr.splitlines()[-1] == (
        "asrpack: 3 of 4 transcribed (0:00:06 of audio); "
        f"1 failed: {audio / 'bad.wav'}; 1 other files passed over"
    )
    first = texts(out)
    assert set(first) == {"a.txt", "b.txt", "more/c.txt"}

    (out / "a.txt").write_text("edited")
    soundfile.write(audio / "bad.wav", NOISE.astype(np.int16), 16000)
    os.utime(audio / "b.flac")
    done = run(sealed_once, audio, "-o", out)
    assert done.returncode == 0
    assert "2 of 4 transcribed" in done.stderr and "2 there already" in done.stderr
    assert texts(out) == first | {"a.txt": "edited", "bad.txt": first["a.txt"]}

    done = run(sealed_once, audio, "-o", out, "--decode", "ctc_greedy_search")
    assert "4 of 4 transcribed" in done.stderr
    assert texts(out)["a.txt"] != "edited"
    assert [path for path in out.rglob(".*") if path.name != JOURNAL] == []


@pytest.mark.parametrize("how", ["kill", "interrupt"])
def test_a_run_that_was_stopped_is_finished(
    sealed_once: Sealed, audio: Path, tmp_path: Path, how: str
) -> None:
    """Whatever it was doing: files are whole or not there, and the rest is done."""
    many = tmp_path / "many"
    many.mkdir()
    for number in range(2000):
        os.link(audio / "a.wav", many / f"{number:04}.wav")
    out = tmp_path / "out"
    words = ["run", sealed_once.path, many, "-o", out, *keys(sealed_once)]
    child = start([sys.executable, "-m", "asrpack", *map(str, words)])
    while len(list(out.glob("*.txt"))) < 20:
        assert child.poll() is None
        time.sleep(0.005)
    if how == "interrupt":
        told = "asrpack: run interrupted: the same command goes on where it stopped"
        assert interrupt(child) == told
        assert [path for path in out.rglob(".*") if path.name != JOURNAL] == []
    else:
        child.kill()
        child.communicate()
    with (out / JOURNAL).open("a") as journal:
        journal.write('{"output": "1')  # as where the power goes
    before = set(texts(out).values())
    done = outside(*words)
    assert done.returncode == 0
    kept = int(done.stderr.split(" there already")[0].rpartition(" ")[2])
    assert 19 <= kept < 2000
    after = {name: text for name, text in texts(out).items() if name.endswith(".txt")}
    assert len(after) == 2000 and set(after.values()) <= before
    assert "2000 there already" in outside(*words).stderr


@pytest.mark.parametrize("module", ["asrpack", "asrpack.runtime"])
def test_interrupted_without_a_folder_it_says_so(
    sealed_once: Sealed, audio: Path, tmp_path: Path, module: str
) -> None:
    """In the middle of a long recording, too."""
    long = tmp_path / "long.wav"
    soundfile.write(long, np.tile(NOISE, 3600 * 16000 // len(NOISE)).astype(np.int16), 16000)
    words = ["run", sealed_once.path, audio / "a.wav", long, *keys(sealed_once)]
    child = start(
        [sys.executable, "-m", module, *map(str, words)], stdout=subprocess.PIPE, env=ENVIRONMENT
    )
    assert child.stdout is not None and child.stdout.readline().startswith(str(audio / "a.wav"))
    told = "asrpack: run interrupted: start it again; with -o FOLDER it can go on where it stopped"
    assert interrupt(child) == told


def test_interrupted_in_hours_of_silence_it_reads_no_further(
    sealed_once: Sealed, audio: Path, tmp_path: Path
) -> None:
    silent = tmp_path / "silent.flac"
    with soundfile.SoundFile(silent, "w", 16000, 1, "PCM_16") as out:
        for _ in range(240):
            out.write(np.zeros(60 * 16000, np.int16))
    words = ["run", sealed_once.path, audio / "a.wav", silent, *keys(sealed_once)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    child = start([sys.executable, "-m", "asrpack", *map(str, words)], stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline().startswith(str(audio / "a.wav"))
    assert "run interrupted" in interrupt(child)
    # To read all of it takes 17 s.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 8


def test_files_of_others_are_left_alone(sealed_once: Sealed, audio: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.txt").write_text("mine")
    done = run(sealed_once, audio, "-o", out)
    assert done.returncode == 3
    assert f"{out / 'a.txt'}: the file is there already" in done.stderr
    assert texts(out)["a.txt"] == "mine" and "2 of 3 transcribed" in done.stderr
    done = run(sealed_once, audio, "-o", out, "--overwrite")
    assert done.returncode == 0 and "3 of 3 transcribed" in done.stderr
    assert texts(out)["a.txt"] != "mine"


def test_one_run_a_folder(sealed_once: Sealed, audio: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with (out / JOURNAL).open("w") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        done = run(sealed_once, audio, "-o", out)
    assert done.returncode == 3 and "another run writes to this folder" in done.stderr
    assert texts(out) == {}


def test_names_that_would_collide(sealed_once: Sealed, audio: Path, tmp_path: Path) -> None:
    soundfile.write(audio / "a.flac", NOISE.astype(np.int16), 16000)
    done = run(sealed_once, audio, "-o", tmp_path / "out")
    assert done.returncode == 0
    assert set(texts(tmp_path / "out")) == {"a.flac.txt", "a.wav.txt", "b.txt", "more/c.txt"}
    done = run(sealed_once, audio / "a.wav", audio / "../audio/a.wav", "-o", tmp_path / "other")
    assert done.returncode == 2 and "would both be called a.wav.txt" in done.stderr


def test_words_in_ctm_are_told_apart(sealed_once: Sealed, audio: Path, tmp_path: Path) -> None:
    """By the names that files have, in one stream and in files that are joined."""
    for name in ("agent/call.wav", "client/call.wav", "a.flac"):
        (audio / name).parent.mkdir(exist_ok=True)
        soundfile.write(audio / name, NOISE.astype(np.int16), 16000)
    shown = run(sealed_once, audio, "--format", "ctm").stdout
    names = {line.split()[0] for line in shown.splitlines()}
    assert names == {"a.wav", "a.flac", "b", "agent/call", "client/call", "more/c"}
    assert run(sealed_once, audio, "--format", "ctm", "-o", tmp_path / "out").returncode == 0
    written = texts(tmp_path / "out")
    assert set(written) == {f"{name}.ctm" for name in names}
    assert sorted("".join(written.values()).split("\n")) == sorted(shown.split("\n"))
    calls = [audio / name for name in ("agent/call.wav", "client/call.wav")]
    done = run(sealed_once, *calls, "--format", "ctm")
    assert done.returncode == 2 and "would both be called call.wav.ctm" in done.stderr
    assert run(sealed_once, *calls).stdout.count("\n") == 2


@pytest.mark.parametrize(
    ("words", "code", "cause"),
    [
        (["a.wav", "--format", "docx"], 2, "no format 'docx'"),
        (["a.wav", "--format", "srt", "--json"], 2, "--json and --format srt"),
        (["a.wav", "--overwrite"], 2, "--overwrite is for files"),
        ([".", "--format", "srt"], 2, "a document of one recording, and here are 3"),
        (["-", "-"], 2, "standard input can be read once"),
        (["nothing"], 3, "no audio files in it"),
        (["a.wav", "-o", "a.wav"], 3, "cannot write transcripts"),
    ],
)
def test_what_cannot_be(
    sealed_once: Sealed, audio: Path, words: list[str], code: int, cause: str
) -> None:
    (audio / "nothing").mkdir()
    here = [
        word if word[0] == "-" or not (audio / word).exists() else audio / word for word in words
    ]
    for done in (
        run(sealed_once, *here),
        inside(sealed_once.path, "transcribe", *here, *keys(sealed_once), **QUIET),
    ):
        assert done.returncode == code, done.stderr
        said = done.stdout + done.stderr
        assert cause in said and "remedy" in said and "Traceback" not in said


@pytest.fixture(scope="module")
def speech(quickstart: Path) -> np.ndarray:
    """15 s of somebody speaking, 16 kHz."""
    files = sorted((quickstart / "data/human").glob("*.wav"))
    spoken = np.concatenate([soundfile.read(path, dtype="int16")[0] for path in files])
    return np.tile(spoken, -(-16000 * 15 // len(spoken)))[: 16000 * 15]


def test_a_recording_that_is_longer_than_the_model_takes(
    sealed_once: Sealed, speech: np.ndarray, tmp_path: Path
) -> None:
    """In pieces, cut where nobody speaks; times are of the recording."""
    silence = np.zeros(16000 * 20, np.int16)
    soundfile.write(tmp_path / "long.wav", np.concatenate([silence, speech]), 16000)
    words = [tmp_path / "long.wav", "--json"]
    (line,) = run(sealed_once, *words, "--times").stdout.splitlines()
    spoken = json.loads(line)
    assert spoken["duration"] == 35.0 and len(spoken["segments"]) > 1
    assert spoken["text"] == " ".join(item["text"] for item in spoken["segments"])
    for item in spoken["segments"]:
        assert 19 < item["start"] < item["end"] <= 35 and item["end"] - item["start"] <= 10
        edges = [word[edge] for word in item["words"] for edge in ("start", "end")]
        assert edges == sorted(edges) and item["start"] <= edges[0] and edges[-1] <= item["end"]
    assert spoken["units"][0]["start"] >= spoken["segments"][0]["start"]
    done = run(sealed_once, *words, "--nbest", 2)
    assert done.returncode == 3 and "n-best are told of recordings of up to 10 s" in done.stderr
    with (tmp_path / "long.wav").open("rb") as stream:
        words = ["run", sealed_once.path, "-", *keys(sealed_once)]
        piped = subprocess.run(
            [sys.executable, "-m", "asrpack", *map(str, words)],
            stdin=stream,
            capture_output=True,
            text=True,
        )
    assert piped.stdout == f"-: {spoken['text']}\n".replace(" \n", "\n")


# A process between: what getrusage tells counts what the parent had before exec, too.
_PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["--streaming"]], ids=["pieces", "streaming"])
def test_memory_does_not_grow_with_the_recording(
    streaming_sealed: Sealed, speech: np.ndarray, tmp_path: Path, flags: list[str]
) -> None:
    peaks = []
    for minutes in (2, 20):
        path = tmp_path / f"{minutes}.flac"
        with soundfile.SoundFile(path, "w", samplerate=16000, channels=1) as stream:
            for _ in range(minutes * 4):
                stream.write(speech)
        words = ["run", streaming_sealed.path, path, *keys(streaming_sealed), *flags]
        done = subprocess.run(
            [sys.executable, "-c", _PEAK, sys.executable, "-m", "asrpack", *map(str, words)],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(done.stdout) / 1024)
    # Samples of 18 more minutes are 66 MB.
    assert peaks[1] - peaks[0] < 20, peaks
