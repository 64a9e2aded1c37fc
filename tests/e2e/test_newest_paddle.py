"""Paddle 3.3.1, on which PaddleSpeech cannot run, builds the quickstart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Workshop

FOLDER = Path(sys.prefix) / "newest-paddle"
pytestmark = [
    pytest.mark.newest_paddle,
    pytest.mark.slow,
    pytest.mark.xdist_group("e2e"),
    pytest.mark.skipif(not FOLDER.is_dir(), reason="`make test` installs it"),
]


def test_builds_the_quickstart(workshop: Workshop, tmp_path: Path) -> None:
    environment = os.environ | {"ASRPACK_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(FOLDER)}
    command = workshop.build_command("--build=cpu", f"--out={tmp_path}")
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    newest, usual = tmp_path / "digits-cards-1.0.0-cpu", workshop.artifact("cpu")
    lock = json.loads((newest / "asrpack.lock").read_bytes())
    assert lock["stages"]["export"]["components"]["tools"]["paddlepaddle"] == "3.3.1"
    texts = [
        {item["utt"]: item["candidate"] for item in json.loads(path.read_bytes())["utterances"]}
        for path in (newest / "evaluation.json", usual / "evaluation.json")
    ]
    # The mark is the same, int8 rounds the same weights: at most a last bit of the network differs.
    assert texts[0] == texts[1]
