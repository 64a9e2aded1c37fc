"""The models of recipes/models: whole, and what PaddleSpeech makes of them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

MODELS = Path(__file__).parents[2] / "recipes/models"
# What evaluate.py prints of each: the ways of decoding.
DECODINGS = {
    "conformer_u2pp_digits_cards": {
        "ctc_greedy_search, whole",
        "ctc_greedy_search, chunks of 16",
        "attention_rescoring, whole",
        "attention_rescoring, chunks of 16",
    },
    "deepspeech2offline_digits_cards": {"greedy, whole"},
    "deepspeech2online_digits_cards": {"greedy, whole", "greedy, chunks of 8"},
    "transformer_spm_digits_cards": {"ctc_greedy_search, whole", "attention_rescoring, whole"},
}
# Above the figures of recipes/models/README.md: fewer utterances, and what rounding may change.
HIGHEST_CER = {
    "conformer_u2pp_digits_cards": 0.2,
    "deepspeech2offline_digits_cards": 0.2,
    "deepspeech2online_digits_cards": 0.2,
    "transformer_spm_digits_cards": 0.4,
}


@pytest.mark.oracle
@pytest.mark.slow
@pytest.mark.parametrize("name", DECODINGS)
def test_paddlespeech_understands_speech_with_the_model(name: str, tmp_path: Path) -> None:
    command = [sys.executable, MODELS / "training/evaluate.py", MODELS / name, "--first", "15"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    rates = {
        decoding: float(rate) / 100
        for decoding, rate in re.findall(r"^\| test \| ([^|]+) \| ([\d.]+)%", done.stdout, re.M)
    }
    assert set(rates) == DECODINGS[name]
    assert max(rates.values()) < HIGHEST_CER[name]
