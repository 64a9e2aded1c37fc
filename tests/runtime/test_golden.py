"""Golden utterances: what ``selftest`` says of a host that computes otherwise."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrpack.bundle.model import GOLDEN_FILE
from asrpack.errors import IntegrityError
from asrpack.runtime.golden import Golden, GoldenUtterance
from asrpack.runtime.recognizer import Recognizer
from tests.runtime import tiny
from tests.runtime.conftest import Sealed, seal
from tests.runtime.test_recognizer import NOISE

METHODS = ("attention_rescoring", "ctc_greedy_search")


def recording() -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, NOISE.astype(np.int16), 16000, format="WAV")
    return buffer.getvalue()


def texts(recognizer: Recognizer) -> dict[str, str]:
    encoded = recognizer.encode(recognizer.features(np.float32(NOISE.astype(np.int16))))
    return {method: recognizer.decode(encoded, method).text for method in METHODS}


def sealed_with(folder: Path, said: dict[str, str]) -> Sealed:
    golden = Golden("a host of the vendor", (GoldenUtterance(recording(), said),))
    others = {GOLDEN_FILE: golden.to_json()}
    return seal(folder, tiny.describe(), tiny.graphs(), others)


def selftest(sealed: Sealed) -> subprocess.CompletedProcess[str]:
    """The bundle's own command."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "asrpack.runtime", "selftest", str(sealed.path)),
            *("--identity", str(sealed.identity), "--trust", str(sealed.trust)),
        ],
        env=os.environ | {"PYTHONPATH": str(sealed.path / "runtime")},
        capture_output=True,
        text=True,
        cwd="/",
    )


@pytest.fixture(scope="module")
def said() -> dict[str, str]:
    found = texts(Recognizer(tiny.describe(), tiny.graphs(), threads=1))
    assert all(found.values())
    return found


def test_the_same_text_is_told(tmp_path: Path, said: dict[str, str]) -> None:
    done = selftest(sealed_with(tmp_path, said))
    assert done.returncode == 0, done.stderr
    assert "2 texts as the vendor recorded them" in done.stdout


def test_another_text_is_told_and_fails(tmp_path: Path, said: dict[str, str]) -> None:
    other = {**said, "ctc_greedy_search": "something else"}
    done = selftest(sealed_with(tmp_path, other))
    assert done.returncode == 4
    shown = f"utterance 1 by ctc_greedy_search: {said['ctc_greedy_search']!r}, recorded 'something"
    assert "1 of 2 texts" in done.stderr and shown in done.stderr
    assert "a host of the vendor" in done.stderr and "remedy: " in done.stderr


def test_the_recordings_are_encrypted(tmp_path: Path, said: dict[str, str]) -> None:
    sealed = sealed_with(tmp_path, said)
    data = (sealed.path / f"model/{GOLDEN_FILE}.enc").read_bytes()
    assert len(data) > len(recording()) and b"UklGR" not in data and b"golden" not in data


def test_it_reads_what_it_wrote_and_nothing_else(said: dict[str, str]) -> None:
    golden = Golden("somewhere", (GoldenUtterance(recording(), said),))
    assert Golden.from_json(golden.to_json()) == golden
    raw = json.loads(golden.to_json())
    wrong = [
        raw | {"format": "asrpack-golden/9"},
        raw | {"more": 1},
        raw | {"utterances": [{"audio": "=", "texts": said}]},
        raw | {"utterances": [{"audio": "", "texts": {"by_guessing": "a"}}]},
        raw | {"utterances": [{"audio": "", "texts": {"attention": 1}}]},
    ]
    for value in [b"", b"[]", b"\xff", *(json.dumps(item).encode() for item in wrong)]:
        with pytest.raises(IntegrityError) as caught:
            Golden.from_json(value)
        assert caught.value.place == GOLDEN_FILE
