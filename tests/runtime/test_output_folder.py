"""Folders of transcripts: long names, full disks, what a lost journal line would cost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrpack.runtime.output_folder import JOURNAL, OutputFolder
from tests.runtime.conftest import Sealed
from tests.runtime.test_commands import keys
from tests.runtime.test_recognizer import NOISE
from tests.runtime.test_transcribe import run, texts


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    folder = tmp_path / "audio"
    folder.mkdir()
    soundfile.write(folder / "a.wav", NOISE.astype(np.int16), 16000)
    return folder


def test_names_as_long_as_they_can_be(sealed_once: Sealed, audio: Path, tmp_path: Path) -> None:
    names = ["x" * 251, "語" * 83, "x" * 246]
    for name in names:
        shutil.copyfile(audio / "a.wav", audio / f"{name}.wav")
    done = run(sealed_once, audio, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert set(texts(tmp_path / "out")) == {f"{name}.txt" for name in (*names, "a")}
    done = run(sealed_once, audio, "-o", tmp_path / "out", "--json")
    target = tmp_path / "out" / f"{names[0]}.json"
    assert done.returncode == 3
    assert f"asrpack: {target}: cannot write transcripts: File name too long" in done.stderr
    assert done.stderr.endswith(f"1 failed: {target}\n")


@pytest.mark.parametrize(
    ("options", "cause"), [("size=16k", "No space left on device"), ("ro", "Read-only file system")]
)
def test_a_disk_that_takes_no_more_ends_the_run(
    sealed_once: Sealed, audio: Path, tmp_path: Path, options: str, cause: str
) -> None:
    """With the first that is not written, instead of recognising all others for nothing."""
    for number in range(40):
        os.link(audio / "a.wav", audio / f"{number:02}.wav")
    (out := tmp_path / "out").mkdir()
    shell = f'mount -t tmpfs -o {options} none "$0" || exit 99; "$@"; code=$?; ls "$0"; exit $code'
    words = ["run", sealed_once.path, audio, "-o", out, *keys(sealed_once)]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", shell, out, sys.executable, "-m", "asrpack"]
        + [str(word) for word in words],
        capture_output=True,
        text=True,
    )
    if done.returncode in (1, 99) and "asrpack" not in done.stderr:
        pytest.skip(f"nothing can be mounted: {done.stderr}")
    assert done.returncode == 4, done.stderr
    written = done.stdout.split()
    assert 0 < len(written) < 40 or options == "ro"
    failed = out / (JOURNAL if options == "ro" else f"{len(written):02}.txt")
    assert done.stderr.startswith(f"asrpack: {failed}: cannot write transcripts: {cause}\n")
    assert done.stderr.count("\n") == 2 and "goes on where it stopped" in done.stderr


def test_a_transcript_is_never_on_the_disk_without_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets its name once the journal's line is on the disk, wherever the power goes."""
    target = tmp_path / "a.txt"
    on_disk: list[bool] = []
    fsync = os.fsync

    def watched(handle: int) -> None:
        fsync(handle)
        if Path(f"/proc/self/fd/{handle}").readlink().name == JOURNAL:
            on_disk.append(b'"a.txt"' in (tmp_path / JOURNAL).read_bytes() and not target.exists())

    monkeypatch.setattr(os, "fsync", watched)
    with OutputFolder(tmp_path, {}, overwrite=False) as folder:
        write = folder.claim(Path("a.txt"), tmp_path / "a.wav")
        assert write is not None
        write("said")
    assert on_disk == [True] and target.read_text() == "said"


def test_a_damaged_journal_costs_the_lines_that_are(
    sealed_once: Sealed, audio: Path, tmp_path: Path
) -> None:
    shutil.copyfile(audio / "a.wav", audio / "b.wav")
    out = tmp_path / "out"
    run(sealed_once, audio, "-o", out)
    (out / "b.txt").unlink()
    lines = (out / JOURNAL).read_bytes().splitlines(keepends=True)
    (out / JOURNAL).write_bytes(
        b"".join(line.replace(b"b.txt", b"\xff\xfe\x00") for line in lines) + b"\xe8\xaa"
    )
    done = run(sealed_once, audio, "-o", out)
    assert done.returncode == 0, done.stderr
    assert "1 of 2 transcribed" in done.stderr and "1 there already" in done.stderr
    assert "2 there already" in run(sealed_once, audio, "-o", out).stderr


def test_a_transcript_under_a_name_of_before_is_told(
    sealed_once: Sealed, audio: Path, tmp_path: Path
) -> None:
    """When another recording of its name joins it, and when that goes again."""
    words = (audio, "-o", tmp_path / "out")
    run(sealed_once, *words)
    soundfile.write(audio / "a.flac", NOISE[1000:].astype(np.int16), 16000)
    done = run(sealed_once, *words)
    assert done.returncode == 0 and set(texts(tmp_path / "out")) == {
        *("a.txt", "a.wav.txt", "a.flac.txt")
    }
    assert done.stderr.splitlines()[0] == (
        f"asrpack: warning: {tmp_path / 'out'}: a.txt is an earlier transcript of "
        f"{audio / 'a.wav'}, which is called a.wav.txt beside these recordings; remove it"
    )
    (tmp_path / "out/a.txt").unlink()
    assert "warning" not in run(sealed_once, *words).stderr
    (audio / "a.wav").unlink()
    told = run(sealed_once, *words).stderr
    assert "a.flac.txt is an earlier transcript" in told and told.count("warning") == 1
