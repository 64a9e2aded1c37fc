"""``bench`` in both command lines: what is measured is there and agrees with itself."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asrpack.runtime.bench.cold_start import PHASES
from asrpack.runtime.bench.table import table
from tests.runtime.conftest import Sealed
from tests.runtime.test_commands import inside, keys, outside
from tests.runtime.test_recognizer import NOISE

FAST = ["--starts", 2, "--rounds", 2, "--minutes", 1, "--clients", "1,3", "--seconds", 0.5]
QUIET = {"PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audio")
    for name, count in (("a.wav", 16000), ("b.wav", 32000)):
        soundfile.write(folder / name, NOISE[:count].astype(np.int16), 16000)
    return folder


@pytest.fixture(scope="module")
def found(sealed_once: Sealed, audio: Path) -> dict[str, Any]:
    began = time.monotonic()
    words = ["bench", sealed_once.path, "--audio", audio, "--json", *FAST]
    done = outside(*words, *keys(sealed_once))
    assert done.returncode == 0, done.stderr
    measured: dict[str, Any] = json.loads(done.stdout)
    measured["test"] = {"took": time.monotonic() - began}
    return measured


def test_the_cold_start_is_the_sum_of_its_phases(found: dict[str, Any]) -> None:
    start = found["cold_start"]
    assert start["processes"] == 2 and list(start["phases"]) == list(PHASES)
    low, high = start["seconds"]["range"]
    assert 0 < low <= start["seconds"]["median"] <= high < found["test"]["took"]
    parts = [phase["range"] for phase in start["phases"].values()]
    assert all(0 < least <= most for least, most in parts)
    assert sum(least for least, _ in parts) <= high and sum(most for _, most in parts) >= low
    assert 0 < start["verify_alone"]["median"] < high


def test_files_one_by_one(found: dict[str, Any]) -> None:
    files = found["files"]
    assert (files["recordings"], files["audio_seconds"], files["rounds"]) == (2, 3.0, 2)
    low, high = files["rtf"]["range"]
    assert 0 < low <= files["rtf"]["median"] <= high and files["warmup_rtf"] > 0
    latency = files["latency"]
    assert latency["count"] == 4
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"] <= latency["max"]
    # Two rounds cannot take less than their latencies.
    assert latency["max"] <= high * 3.0
    assert min(files["memory"].values()) > 10e6
    assert found["bundle"]["name"] == "tiny" and found["host"]["load_average"]


def test_a_long_recording(found: dict[str, Any]) -> None:
    long = found["long"]
    assert long["audio_seconds"] == 60.0
    assert long["rtf"] == pytest.approx(long["seconds"] / 60)
    points = long["memory"]["resident"]
    assert points == sorted(points) and points[-1][0] <= long["seconds"] + 1
    assert max(size for _, size in points) <= long["memory"]["peak"]


def test_half_a_minute_of_silence_in_the_table(found: dict[str, Any]) -> None:
    told = table({**found, "long": {**found["long"], "audio_seconds": 30.0, "segments": 0}})
    assert "\n0.5 min of the recordings again and again, 0 segments with text: " in told


def test_clients_at_a_time(found: dict[str, Any]) -> None:
    levels = found["load"]["levels"]
    assert [level["clients"] for level in levels] == [1, 3]
    for level in levels:
        assert level["errors"] == {} and level["seconds"] >= 0.5
        assert level["times_real_time"] == pytest.approx(level["audio_seconds"] / level["seconds"])
        # All clients together cannot have waited longer than they were there.
        least = level["latency"]["count"] * 0.5 * level["latency"]["p50"]
        assert least <= level["clients"] * level["seconds"]


def test_a_table_inside_a_bundle(sealed_once: Sealed, audio: Path) -> None:
    words = ["bench", "--audio", audio / "a.wav", "--starts", 1, "--rounds", 1, "--minutes", 0]
    done = inside(sealed_once.path, *words, "--clients", "", *keys(sealed_once), **QUIET)
    assert done.returncode == 0, done.stderr
    assert "process to first text" in done.stdout and "RTF" in done.stdout
    assert "clients" not in done.stdout and "again and again" not in done.stdout
    assert done.stderr.splitlines() == ["asrpack: recordings one by one …", "asrpack: cold start …"]


@pytest.mark.parametrize(
    ("words", "code", "cause"),
    [
        ([], 2, "the bundle has no golden utterances"),
        (["--audio", "/none.wav"], 3, "No such file"),
        (["--audio", "a.wav", "--clients", "1,x"], 2, "no list of whole numbers"),
        (["--audio", "a.wav", "--rounds", "0"], 2, "at least one"),
        (["--audio", "a.wav", "--seconds", "nan"], 2, "at least one"),
        (["--audio", "a.wav", "--minutes", "nan"], 2, "not nan"),
        (["--audio", "a.wav", "--minutes", "1e-9"], 2, "0.01 to 525600 minutes"),
        (["--audio", "a.wav", "--minutes", "inf"], 2, "not inf"),
        (["--audio", "a.wav", "--decode", "magic"], 2, "cannot decode with 'magic'"),
        (["--audio", "a.wav", "--identity", "/none.pem"], 7, "cannot read the key file"),
    ],
    ids=str,
)
def test_what_cannot_be_measured(
    sealed_once: Sealed, audio: Path, words: list[str], code: int, cause: str
) -> None:
    """The child's errors are the command's."""
    here = [audio / word if word == "a.wav" else word for word in words]
    done = outside("bench", sealed_once.path, *keys(sealed_once), *FAST, *here)
    assert done.returncode == code, done.stderr
    assert cause in done.stderr and "remedy:" in done.stderr and "Traceback" not in done.stderr
