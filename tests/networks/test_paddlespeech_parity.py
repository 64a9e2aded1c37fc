"""The networks against PaddleSpeech's own ``U2Model``, with random weights and on real speech.

PaddleSpeech is given one utterance at a time, as its command line does: in a batch it attends
to a frame of padding (its mask counts one more) and its results change with what is beside.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrpack.frontends.paddlespeech_u2 import read
from asrpack.networks.u2_spec import U2Spec
from asrpack.runtime.decoding import attention_search
from asrpack.runtime.decoding.hypotheses import prefix_tree
from tests.networks.variants import VARIANTS, weights

pytestmark = pytest.mark.oracle

TOLERANCE = 1e-4
CMVN_FRAMES = 10


@pytest.fixture(scope="module")
def u2_model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """PaddleSpeech's class."""
    # Its import runs pip, which must fail at once, and opens a log file where it is.
    os.environ["PIP_NO_INDEX"] = "1"
    pytest.importorskip("paddlespeech")
    with contextlib.chdir(tmp_path_factory.mktemp("paddlespeech")):
        from paddlespeech.s2t.models.u2 import U2Model

    return U2Model


def paddlespeech_config(spec: U2Spec, folder: Path) -> dict[str, Any]:
    """The configuration that gives PaddleSpeech the same network."""
    encoder = dict(spec.to_dict()["encoder"])
    bins = encoder.pop("input_dim")
    cmvn_file = None
    if encoder.pop("global_cmvn"):
        stats = {"mean_stat": [0.0] * bins, "var_stat": [1.0] * bins, "frame_num": CMVN_FRAMES}
        cmvn_file = folder / "cmvn.json"
        cmvn_file.write_text(json.dumps(stats))
    if spec.encoder_type == "conformer":
        kernel = encoder.pop("cnn_module_kernel")
        encoder |= {"use_cnn_module": kernel > 0, "cnn_module_kernel": kernel or 15}
    if spec.encoder_type == "squeezeformer":
        encoder |= {name: list(encoder[name]) or None for name in ("reduce_idx", "recover_idx")}
    return {
        "input_dim": bins,
        "output_dim": spec.vocab_size,
        "encoder": spec.encoder_type,
        "encoder_conf": encoder,
        "decoder": "bitransformer" if spec.decoder.r_num_blocks else "transformer",
        "decoder_conf": dict(spec.to_dict()["decoder"]),
        "model_conf": {"reverse_weight": 0.3},
        "cmvn_file": cmvn_file and str(cmvn_file),
        "cmvn_file_type": "json",
    }


def oracle(u2_model: Any, config: dict[str, Any], parameters: dict[str, np.ndarray]) -> Any:
    from yacs.config import CfgNode

    network = u2_model.from_config(CfgNode(config))
    missing, unexpected = network.set_state_dict(parameters)
    assert not missing
    assert not unexpected
    network.eval()
    return network


def differences(
    theirs: Any, spec: U2Spec, parameters: dict[str, np.ndarray], batch: list[np.ndarray]
) -> dict[str, float]:
    """Largest absolute differences over a padded batch, against one utterance at a time."""
    import paddle

    from asrpack.networks.u2 import EncoderGraph, build, decoder_graphs

    ours = build(spec, parameters)
    generator = np.random.default_rng(5)
    lengths = [len(feats) for feats in batch]
    padded = np.zeros((len(batch), max(lengths), batch[0].shape[1]), np.float32)
    for row, feats in zip(padded, batch, strict=True):
        row[: len(feats)] = feats
    tokens = generator.integers(1, spec.vocab_size - 1, size=(4, 7))
    tokens[:, 0] = spec.vocab_size - 1
    tokens[1, :4] = tokens[0, :4]
    hyps, hyps_lens = paddle.to_tensor(tokens), paddle.to_tensor([7, 5, 2, 1])
    reverse_weight = 0.3 if spec.decoder.r_num_blocks else 0.0
    texts = [
        tuple(row[1:size]) for row, size in zip(tokens.tolist(), hyps_lens.tolist(), strict=True)
    ]
    trees = {
        "decoder": prefix_tree(texts, spec.vocab_size - 1),
        "right_decoder": prefix_tree([text[::-1] for text in texts], spec.vocab_size - 1),
    }
    decoders = decoder_graphs(ours)
    found: dict[str, float] = {}

    def note(name: str, left: Any, right: Any) -> None:
        assert left.shape == right.shape
        found[name] = max(found.get(name, 0.0), float((left - right).abs().max()))

    with paddle.no_grad():
        together, log_probs, counts = EncoderGraph(ours)(
            paddle.to_tensor(padded), paddle.to_tensor(lengths)
        )
        for row, feats in enumerate(batch):
            x, n = paddle.to_tensor(feats[None]), paddle.to_tensor([len(feats)])
            expected, _ = theirs._forward_encoder(x, n, decoding_chunk_size=-1)
            frames = expected.shape[1]
            assert int(counts[row]) == frames
            alone, _, _ = EncoderGraph(ours)(x, n)
            note("encoder_out alone", alone, expected)
            note("encoder_out", together[row : row + 1, :frames], expected)
            probabilities = theirs.ctc.log_softmax(expected)
            note("ctc_log_probs", log_probs[row : row + 1, :frames], probabilities)
            both = theirs.forward_attention_decoder(hyps, hyps_lens, expected, reverse_weight)
            memory = together[row : row + 1, :frames]
            for (name, decoder), scores in zip(decoders.items(), both, strict=False):
                tree = trees[name]
                units, ancestors = paddle.to_tensor(tree.units), paddle.to_tensor(tree.ancestors)
                given = [memory, units.unsqueeze(0), ancestors]
                if name == "decoder":
                    empty = paddle.zeros([spec.decoder.num_blocks, 1, 0, memory.shape[2]])
                    ours_scores, _ = decoder(*given, empty)
                else:
                    ours_scores = decoder(*given)
                for index, place in enumerate(tree.places):
                    note(name, ours_scores[0, place], scores[index, : len(place)])
    return found


@pytest.mark.parametrize("spec", VARIANTS.values(), ids=VARIANTS)
def test_random_weights(u2_model: Any, spec: U2Spec, tmp_path: Path, record_property: Any) -> None:
    parameters = weights(spec)
    theirs = oracle(u2_model, paddlespeech_config(spec, tmp_path), dict(parameters))
    generator = np.random.default_rng(4)
    batch = [
        generator.normal(size=(length, spec.encoder.input_dim)).astype(np.float32)
        for length in (120, 119, 118, 117, 116, 40, 15)
    ]
    found = differences(theirs, spec, parameters, batch)
    record_property("differences", found)
    assert max(found.values()) <= TOLERANCE, found


@pytest.mark.parametrize("name", ["causal", "transformer: plain", "squeezeformer: plain"])
@pytest.mark.parametrize(("chunks", "left"), [(True, False), (True, True), (False, True)])
def test_training_for_streaming_changes_nothing_in_full_context(
    u2_model: Any, tmp_path: Path, name: str, chunks: bool, left: bool
) -> None:
    spec = VARIANTS[name]
    config = paddlespeech_config(spec, tmp_path)
    config["encoder_conf"] |= {"use_dynamic_chunk": chunks, "use_dynamic_left_chunk": left}
    parameters = weights(spec)
    theirs = oracle(u2_model, config, dict(parameters))
    batch = [np.random.default_rng(4).normal(size=(90, 80)).astype(np.float32)]
    assert max(differences(theirs, spec, parameters, batch).values()) <= TOLERANCE


@pytest.mark.parametrize("name", ["plain", "decoder: both ways", "decoder: concat after"])
@pytest.mark.parametrize("seed", range(3))
def test_attention_search_step_by_step(u2_model: Any, name: str, seed: int, tmp_path: Path) -> None:
    """Upstream's cache is not reordered with the beams, which shows from two blocks on."""
    import paddle

    from asrpack.networks.u2 import build, decoder_graphs

    spec = VARIANTS[name]
    assert spec.decoder.num_blocks > 1
    parameters = weights(spec, seed)
    for side in ("", "left_decoder."):
        if (key := f"decoder.{side}output_layer.weight") in parameters:
            parameters[key] *= 6
    theirs = oracle(u2_model, paddlespeech_config(spec, tmp_path), dict(parameters))
    decoder = decoder_graphs(build(spec, parameters))["decoder"]
    feats = np.random.default_rng(seed).normal(size=(1, 60, 80)).astype(np.float32)
    x, n = paddle.to_tensor(feats), paddle.to_tensor([60])
    with paddle.no_grad():
        expected = theirs.recognize(x, n, beam_size=5)[0].tolist()
        memory, _ = theirs._forward_encoder(x, n)

    def step(hyps: np.ndarray, cache: Any) -> tuple[np.ndarray, Any]:
        count, length = hyps.shape
        if cache is None:
            cache = paddle.zeros([spec.decoder.num_blocks, count, 0, spec.encoder.output_size])
        with paddle.no_grad():
            lower = paddle.to_tensor(np.tri(length, dtype=np.int64))
            log_probs, new = decoder(memory, paddle.to_tensor(hyps), lower, cache)
        return log_probs[:, -1].numpy(), paddle.concat([cache, new], axis=2)

    last = spec.vocab_size - 1
    found = attention_search(step, memory.shape[1], beam_size=5, sos_id=last, eos_id=last)
    assert list(found[0][0]) == [*expected, last][: [*expected, last].index(last)]


@pytest.mark.parametrize("count", [5, 10], ids=["human", "test"])
def test_quickstart_on_real_speech(
    u2_model: Any, quickstart: Path, count: int, record_property: Any, monkeypatch: Any
) -> None:
    import soundfile
    from paddlespeech.audio.transform.transformation import Transformation
    from ruamel.yaml import YAML

    model = quickstart / "conformer_digits_cards"
    monkeypatch.chdir(model)  # PaddleSpeech takes its paths relative to it
    config = YAML(typ="safe").load(Path("model.yaml"))
    transform = Transformation(config["preprocess_config"])
    manifest = quickstart / "data" / ("human.jsonl" if count == 5 else "test.jsonl")
    rows = [json.loads(line) for line in manifest.read_text().splitlines()[:count]]
    batch = [
        transform(soundfile.read(manifest.parent / row["audio"], dtype="int16")[0], train=False)
        for row in rows
    ]
    description, parameters = read(model)
    found = differences(
        oracle(u2_model, config, dict(parameters)),
        U2Spec.from_dict(description.network),
        parameters,
        [feats.astype(np.float32) for feats in batch],
    )
    record_property("differences", found)
    assert max(found.values()) <= TOLERANCE, found
