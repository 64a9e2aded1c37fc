"""PaddleSpeech itself as the oracle: features, network, searches and texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from asrpack.bundle.model import ModelDescription
from asrpack.recipe.manifest import Utterance
from asrpack.runtime.audio import read_audio
from asrpack.runtime.decoder import Decoder
from asrpack.runtime.decoding import (
    ctc_prefix_beam_search,
)
from asrpack.runtime.features import Fbank, apply_cmvn
from asrpack.runtime.recognizer import Recognizer
from asrpack.runtime.search import Encoded, Search
from asrpack.stages.reference import Reference
from asrpack.stages.stage import Context
from tests.runtime.conftest import MODEL

if TYPE_CHECKING:
    from asrpack.measure.paddlespeech import Outputs
    from asrpack.measure.paddlespeech_u2 import PaddleSpeechU2

pytestmark = pytest.mark.oracle
METHODS = ("ctc_greedy_search", "ctc_prefix_beam_search", "attention", "attention_rescoring")
GOLDEN = Path(__file__).parents[1] / "golden" / "quickstart_paddlespeech.json"
NOISE = np.random.default_rng(0).normal(0, 2000, 32000).astype(np.int16)
# What no test set holds.
ODD = {
    "silence": np.zeros(16000, np.int16),
    "noise": NOISE,
    "faint noise": (NOISE // 1000).astype(np.int16),
    "full scale square": np.where(np.arange(16000) // 40 % 2, 32767, -32768).astype(np.int16),
    "one output frame": NOISE[:1360],
    "two output frames": NOISE[:2000],
}


@pytest.fixture(scope="module")
def texts(oracle: PaddleSpeechU2, utterances: dict[str, Utterance]) -> dict[str, dict[str, str]]:
    """PaddleSpeech's own text of every recording by every method."""
    found = {}
    for name, utterance in utterances.items():
        features = oracle.features(oracle.samples(utterance.audio))
        found[name] = {method: oracle.decode(features, method) for method in METHODS}
    return found


def decode_with_ours(
    oracle: PaddleSpeechU2, outputs: Outputs, about: ModelDescription, method: str
) -> str:
    """Our search over PaddleSpeech's posteriors and its decoder."""

    def run(outputs: Any, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        memory, hyps, lens = feed["encoder_out"][0], feed["hyps_in"], feed["hyps_lens"]
        return [oracle.decoder_log_probs(memory, hyps, lens)]

    graph: Any = SimpleNamespace(inputs={}, run=run)
    search = Search(about, method, {"decoder": Decoder(graph, about)})
    search.advance(Encoded(outputs.ctc_log_probs, outputs.encoder_out))
    return search.final()[0].text


def test_samples_are_the_same(oracle: PaddleSpeechU2, utterances: dict[str, Utterance]) -> None:
    for utterance in utterances.values():
        ours = read_audio(utterance.audio, 16000)
        assert np.array_equal(ours, oracle.samples(utterance.audio)), utterance.id


def test_features_of_human_speech(
    oracle: PaddleSpeechU2, utterances: dict[str, Utterance], description: ModelDescription
) -> None:
    from paddlespeech.audio.transform.transformation import Transformation

    options = {"fs": 16000, "n_mels": 80, "n_shift": 160, "win_length": 400, "dither": 0.1}
    theirs = Transformation({"process": [{"type": "fbank_kaldi", **options}]})
    fbank = Fbank(description.front_end)
    human = [item for name, item in utterances.items() if name.startswith("human/")]
    assert human
    for utterance in human:
        samples = oracle.samples(utterance.audio)
        difference = theirs(samples, train=False) - fbank(samples.astype(np.float32))
        assert np.abs(difference).max() <= 1e-3, utterance.id


def test_normalised_features_of_human_speech(
    oracle: PaddleSpeechU2, utterances: dict[str, Utterance], description: ModelDescription
) -> None:
    fbank = Fbank(description.front_end)
    for name, utterance in utterances.items():
        if name.startswith("human/"):
            samples = oracle.samples(utterance.audio)
            ours = apply_cmvn(fbank(samples.astype(np.float32)), description.cmvn)
            assert np.abs(oracle.features(samples) - ours).max() <= 1e-3, utterance.id


def test_texts_are_those_of_the_golden_file(
    texts: dict[str, dict[str, str]], golden: Callable[[Path, str], None]
) -> None:
    golden(GOLDEN, json.dumps(texts, ensure_ascii=False, indent=1, sort_keys=True) + "\n")


def test_our_searches_on_its_posteriors_give_its_texts(
    oracle: PaddleSpeechU2,
    texts: dict[str, dict[str, str]],
    utterances: dict[str, Utterance],
    description: ModelDescription,
) -> None:
    for name, utterance in utterances.items():
        outputs = oracle.outputs(oracle.features(oracle.samples(utterance.audio)))
        for method in METHODS:
            found = decode_with_ours(oracle, outputs, description, method)
            assert found == texts[name][method], (name, method)


@pytest.mark.parametrize("case", ODD)
def test_our_searches_on_odd_audio(
    oracle: PaddleSpeechU2, description: ModelDescription, case: str
) -> None:
    features = oracle.features(ODD[case])
    outputs = oracle.outputs(features)
    for method in METHODS:
        found = decode_with_ours(oracle, outputs, description, method)
        assert found == oracle.decode(features, method), method


def test_n_best_lists_are_equal_to_the_last_bit(
    oracle: PaddleSpeechU2, utterances: dict[str, Utterance]
) -> None:
    for name in list(utterances)[:3]:
        features = oracle.features(oracle.samples(utterances[name].audio))
        log_probs = oracle.outputs(features).ctc_log_probs
        theirs, _ = oracle._model._ctc_prefix_beam_search(*oracle._batch(features), 10)
        assert ctc_prefix_beam_search(log_probs, 10) == theirs, name


def test_the_bundle_s_runtime_gives_its_encoder_output_and_its_texts(
    oracle: PaddleSpeechU2,
    texts: dict[str, dict[str, str]],
    utterances: dict[str, Utterance],
    recognizer: Recognizer,
) -> None:
    """From the file to the text, nothing of PaddleSpeech in between."""
    for name, utterance in utterances.items():
        encoded = recognizer.encode(recognizer.features(read_audio(utterance.audio, 16000)))
        outputs = oracle.outputs(oracle.features(oracle.samples(utterance.audio)))
        if name.startswith("human/"):
            assert np.abs(encoded.encoder_out - outputs.encoder_out).max() <= 1e-3, name
        for method in METHODS:
            assert recognizer.decode(encoded, method).text == texts[name][method], (name, method)


def test_encoder_output_on_the_same_features(
    oracle: PaddleSpeechU2, utterances: dict[str, Utterance], recognizer: Recognizer
) -> None:
    for name, utterance in utterances.items():
        features = oracle.features(oracle.samples(utterance.audio))
        ours, theirs = recognizer.encode(features), oracle.outputs(features)
        assert np.abs(ours.encoder_out - theirs.encoder_out).max() <= 1e-4, name


def test_reference_stage(
    oracle: PaddleSpeechU2,
    texts: dict[str, dict[str, str]],
    quickstart: Path,
    tmp_path: Path,
) -> None:
    inputs = {"model": quickstart / MODEL, "manifest": quickstart / "data" / "human.jsonl"}
    seen: list[int] = []
    context = Context(progress=lambda done, total, text: seen.append(done))
    Reference().run(Reference.Params(), inputs, tmp_path, context)
    found = json.loads((tmp_path / "reference.json").read_text())
    assert found["versions"]["paddlespeech"] == "1.5.0"
    human = {name[6:]: text for name, text in texts.items() if name.startswith("human/")}
    assert found["utterances"] == human
    assert seen == list(range(1, len(human) + 1))
