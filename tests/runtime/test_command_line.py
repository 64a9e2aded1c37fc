"""Standard streams that fail, and SIGTERM, in both command lines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrpack.runtime.output_folder import JOURNAL
from tests.runtime.conftest import Sealed
from tests.runtime.test_commands import keys
from tests.runtime.test_recognizer import NOISE

both = pytest.mark.parametrize("module", ["asrpack", "asrpack.runtime"])


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    soundfile.write(path, NOISE.astype(np.int16), 16000)
    return path


def shell(
    script: str, sealed: Sealed, module: str, *words: object
) -> subprocess.CompletedProcess[str]:
    """Runs ``script``, in which ``"$@"`` is the command line."""
    command = [sys.executable, "-m", module, "run", sealed.path, *words, *keys(sealed)]
    return subprocess.run(
        ["bash", "-c", script, "bash", *map(str, command)],
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )


@both
@pytest.mark.parametrize("words", [[], ["--json"], ["--json", "--decode", "none"]], ids=len)
def test_standard_output_on_a_full_disk(
    sealed_once: Sealed, audio: Path, module: str, words: list[str]
) -> None:
    """Of transcripts, and of an error that would be told there."""
    done = shell('"$@" > /dev/full', sealed_once, module, audio, *words)
    assert done.returncode == 4, done.stderr
    assert done.stderr == (
        "asrpack: standard output: cannot write: No space left on device\n"
        "  remedy: make room on the disk, or write to another\n"
    )


@both
def test_another_verb_on_a_full_disk(sealed_once: Sealed, module: str) -> None:
    words = ["verify", sealed_once.path, "--trust", sealed_once.trust]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", module, *map(str, words)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 4, done.stderr
    assert done.stderr.startswith("asrpack: cannot write: No space left on device\n  remedy: ")


@both
def test_standard_error_on_a_full_disk(sealed_once: Sealed, audio: Path, module: str) -> None:
    """What is told there is lost, and nothing else."""
    done = shell('"$@" 2> /dev/full', sealed_once, module, "no.wav", audio)
    assert done.returncode == 3
    assert done.stdout.startswith(f"{audio}: ") and done.stdout.count("\n") == 1


@both
def test_closed_streams(sealed_once: Sealed, audio: Path, tmp_path: Path, module: str) -> None:
    out = tmp_path / "out"
    done = shell('"$@" <&- >&- 2>&-', sealed_once, module, audio, "-o", out)
    assert done.returncode == 0 and (out / "a.txt").read_text()
    assert (out / JOURNAL).read_text().count("\n") == 2
    done = shell('"$@" >&-', sealed_once, module, audio)
    assert (done.returncode, done.stderr) == (0, "")
    done = shell('"$@" <&-', sealed_once, module, "-", audio)
    assert done.returncode == 3 and done.stdout.startswith(f"{audio}: ")
    assert done.stderr.startswith("asrpack: -: standard input is closed\n  remedy: ")


@both
def test_a_reader_that_has_seen_enough(sealed_once: Sealed, audio: Path, module: str) -> None:
    script = '"$@" --json | head -1; exit ${PIPESTATUS[0]}'
    done = shell(script, sealed_once, module, *[audio] * 200)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (141, "", 1)


@both
@pytest.mark.parametrize("first", [False, True], ids=["any process", "a container's first process"])
def test_sigterm_ends_as_ctrl_c_does(
    sealed_once: Sealed, audio: Path, tmp_path: Path, module: str, first: bool
) -> None:
    """In the middle of a long recording, with nothing left but what is whole."""
    long, out = tmp_path / "b.wav", tmp_path / "out"
    soundfile.write(long, np.tile(NOISE, 3600 * 16000 // len(NOISE)).astype(np.int16), 16000)
    words = [sys.executable, "-m", module, "run", sealed_once.path, audio, long, "-o", out]
    alone = ["unshare", "--pid", "--fork", "--kill-child"] if first else []
    if first and subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("no process namespace")
    child = subprocess.Popen(
        [*alone, *map(str, [*words, *keys(sealed_once)])],
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (out / "a.txt").exists():
        assert child.poll() is None
        time.sleep(0.01)
    target = child.pid
    if first:
        (target,) = map(int, Path(f"/proc/{target}/task/{target}/children").read_text().split())
    os.kill(target, signal.SIGTERM)
    try:
        _, told = child.communicate(timeout=60)
    finally:
        child.kill()
    assert (child.returncode, told) == (
        143,
        "asrpack: run interrupted: the same command goes on where it stopped\n",
    )
    assert {path.name for path in out.iterdir()} == {"a.txt", JOURNAL}
