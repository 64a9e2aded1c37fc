"""The quickstart model on the runtime that ships, without PaddleSpeech."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from asrpack.bundle.model import FbankSpec
from asrpack.recipe.manifest import Utterance
from asrpack.runtime.audio import read_audio
from asrpack.runtime.front_end import FrontEnd
from asrpack.runtime.recognizer import Recognizer
from tests.runtime.test_front_end_options import OPTIONS
from tests.runtime.test_paddlespeech import GOLDEN

pytestmark = pytest.mark.slow


def test_texts_are_paddlespeech_s(recognizer: Recognizer, utterances: dict[str, Utterance]) -> None:
    expected = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert set(expected) == set(utterances)
    for name, utterance in utterances.items():
        encoded = recognizer.encode(recognizer.features(read_audio(utterance.audio, 16000)))
        for method in recognizer.description.methods:
            assert recognizer.decode(encoded, method).text == expected[name][method], (name, method)


# Those that leave frames of 80 numbers at the model's own rate.
FITTING = [item for item in OPTIONS if not item.keys() & {"sample_rate", "num_mel_bins", "stack"}]


@pytest.mark.parametrize("option", [*FITTING, {"cmvn": None}], ids=str)
def test_another_front_end_than_the_trained_one_is_seen(
    recognizer: Recognizer, utterances: dict[str, Utterance], option: dict[str, Any]
) -> None:
    about = recognizer.description
    assert isinstance(about.front_end, FbankSpec)
    own = FrontEnd(about.front_end, about.cmvn)
    cmvn = option.get("cmvn", about.cmvn)
    fbank = {name: value for name, value in option.items() if name != "cmvn"}
    other = FrontEnd(replace(about.front_end, **fbank), cmvn)
    samples = read_audio(next(iter(utterances.values())).audio, 16000)
    usual, found = (
        recognizer.encode(front_end(samples)).ctc_log_probs for front_end in (own, other)
    )
    if usual.shape == found.shape:
        assert np.abs(np.exp(usual) - np.exp(found)).max() > 1e-3
