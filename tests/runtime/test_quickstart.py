"""The quickstart model on the runtime that ships, without PaddleSpeech."""

from __future__ import annotations

import json

import pytest

from asrpack.recipe.manifest import Utterance
from asrpack.runtime.audio import read_audio
from asrpack.runtime.recognizer import Recognizer
from tests.runtime.test_paddlespeech import GOLDEN

pytestmark = pytest.mark.slow


def test_texts_are_paddlespeech_s(recognizer: Recognizer, utterances: dict[str, Utterance]) -> None:
    expected = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert set(expected) == set(utterances)
    for name, utterance in utterances.items():
        encoded = recognizer.encode(recognizer.features(read_audio(utterance.audio, 16000)))
        for method in recognizer.description.methods:
            assert recognizer.decode(encoded, method).text == expected[name][method], (name, method)
