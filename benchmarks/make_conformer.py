"""Writes a conformer of any size in PaddleSpeech's directory layout, with random weights.

Right in size and speed, useless as a recognizer. Needs neither Paddle nor PaddleSpeech:

    python benchmarks/make_conformer.py /tmp/conformer            # 12 x 256, 4233 units
    python benchmarks/make_conformer.py /tmp/small --blocks 2 --size 64 --units 128
"""

from __future__ import annotations

import argparse
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from asrpack.frontends.paddlespeech_config import Document
from asrpack.frontends.paddlespeech_u2_spec import read_spec
from asrpack.networks.parameter_shapes import Shape
from asrpack.networks.u2_spec import U2Spec, expected_parameters

FRAMES = 100_000
FIRST_CHARACTER = 0x4E00


def configuration(
    *,
    blocks: int = 12,
    size: int = 256,
    heads: int = 4,
    units: int = 2048,
    decoder_blocks: int = 6,
    vocabulary: int = 4233,
) -> dict[str, Any]:
    """A ``model.yaml`` as PaddleSpeech's ``conformer_aishell`` has it, in the sizes given."""
    return {
        "input_dim": 80,
        "output_dim": vocabulary,
        "encoder": "conformer",
        "encoder_conf": {
            "output_size": size,
            "attention_heads": heads,
            "linear_units": units,
            "num_blocks": blocks,
            "dropout_rate": 0.1,
            "positional_dropout_rate": 0.1,
            "attention_dropout_rate": 0.0,
            "input_layer": "conv2d",
            "normalize_before": True,
            "cnn_module_kernel": 15,
            "use_cnn_module": True,
            "activation_type": "swish",
            "pos_enc_layer_type": "rel_pos",
            "selfattention_layer_type": "rel_selfattn",
        },
        "decoder": "transformer",
        "decoder_conf": {
            "attention_heads": heads,
            "linear_units": units,
            "num_blocks": decoder_blocks,
            "dropout_rate": 0.1,
            "positional_dropout_rate": 0.1,
            "self_attention_dropout_rate": 0.0,
            "src_attention_dropout_rate": 0.0,
        },
        "model_conf": {"ctc_weight": 0.3, "lsm_weight": 0.1, "length_normalized_loss": False},
        "cmvn_file": None,
        "cmvn_file_type": "json",
        "vocab_filepath": "data/lang_char/vocab.txt",
        "unit_type": "char",
        "spm_model_prefix": "",
        "preprocess_config": {
            "process": [
                {"type": "fbank_kaldi", "fs": 16000, "n_mels": 80, "n_shift": 160,
                 "win_length": 400, "dither": 0.1},
                {"type": "cmvn_json", "cmvn_path": "data/mean_std.json"},
            ]
        },
        "decode": {"decoding_method": "attention_rescoring", "beam_size": 10, "ctc_weight": 0.5},
    }  # fmt: skip


def write_model(
    directory: Path, config: Mapping[str, Any], seed: int = 0, *, sharpness: float = 1.0
) -> U2Spec:
    """Writes ``model.yaml``, vocabulary, CMVN and ``exp/conformer/checkpoints/avg_1.pdparams``.

    Args:
        directory: made if it is not there.
        config: as :func:`configuration` gives it.
        seed: same seed, same weights.
        sharpness: factor of the output layers' weights; at 1 all units are about equally likely.
    """
    write_files(directory, config)
    spec = read_spec(Document.read(directory / "model.yaml"))
    weights = random_weights(expected_parameters(spec), seed)
    for name in weights:
        if name.endswith(("ctc_lo.weight", "output_layer.weight")):
            weights[name] *= np.float32(sharpness)
    write_checkpoint(directory / "exp/conformer/checkpoints/avg_1.pdparams", weights)
    return spec


def write_files(directory: Path, config: Mapping[str, Any]) -> None:
    """Writes ``model.yaml``, vocabulary and CMVN, of any family."""
    vocabulary = directory / "data/lang_char/vocab.txt"
    vocabulary.parent.mkdir(parents=True, exist_ok=True)
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    with (directory / "model.yaml").open("w", encoding="utf-8") as stream:
        yaml.dump(dict(config), stream)
    units = [chr(FIRST_CHARACTER + index) for index in range(config["output_dim"] - 3)]
    if config["unit_type"] == "spm":
        # Every third one starts a word.
        units = [unit if index % 3 else f"\u2581{unit}" for index, unit in enumerate(units)]
        write_sentencepiece(directory / f"{config['spm_model_prefix']}.model", units)
    tokens = ["<blank>", "<unk>", *units, "<eos>"]
    vocabulary.write_text("\n".join(tokens) + "\n", encoding="utf-8")
    (directory / "data/mean_std.json").write_text(json.dumps(_statistics(config["input_dim"])))


def write_checkpoint(path: Path, weights: Mapping[str, np.ndarray]) -> None:
    """Writes a ``.pdparams`` file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        pickle.dump(dict(weights), stream, protocol=4)


def write_sentencepiece(path: Path, pieces: list[str]) -> None:
    """A sentencepiece model of these pieces, which PaddleSpeech joins texts with."""
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()
    for kind, piece in (("UNKNOWN", "<unk>"), ("CONTROL", "<s>"), ("CONTROL", "</s>")):
        kinds = sentencepiece_model_pb2.ModelProto.SentencePiece.Type
        model.pieces.add(piece=piece, type=kinds.Value(kind))
    for index, piece in enumerate(pieces):
        model.pieces.add(piece=piece, score=-float(index))
    model.normalizer_spec.name = "identity"
    path.write_bytes(model.SerializeToString())


def random_weights(shapes: Mapping[str, Shape], seed: int) -> dict[str, np.ndarray]:
    """Float32 arrays of these shapes; same seed, same numbers."""
    generator = np.random.default_rng(seed)
    return {name: _weights(generator, name, shape) for name, shape in shapes.items()}


def _statistics(bins: int) -> dict[str, Any]:
    """Sums of log-mel energies with a mean of 14 and a standard deviation of 4."""
    return {
        "mean_stat": [14.0 * FRAMES] * bins,
        "var_stat": [(4.0**2 + 14.0**2) * FRAMES] * bins,
        "frame_num": FRAMES,
    }


def _weights(generator: np.random.Generator, name: str, shape: Shape) -> np.ndarray:
    """Uniform in ± 1 / sqrt(inputs), so that activations neither grow nor vanish.

    Normalizations get a scale near 1 and a bias near 0: with exactly these, a network that
    mixed them up would give the same numbers.
    """
    if name.endswith("_variance") or (len(shape) == 1 and name.endswith((".weight", ".istd"))):
        return generator.uniform(0.8, 1.2, shape).astype(np.float32)
    if len(shape) == 1:
        return generator.uniform(-0.1, 0.1, shape).astype(np.float32)
    # Linear weights are (in, out), convolution weights (out, in, kernel...).
    inputs = shape[0] if len(shape) == 2 else int(np.prod(shape[1:]))
    limit = inputs**-0.5
    return generator.uniform(-limit, limit, shape).astype(np.float32)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--units", type=int, default=2048)
    parser.add_argument("--decoder-blocks", type=int, default=6)
    parser.add_argument("--vocabulary", type=int, default=4233)
    parser.add_argument("--seed", type=int, default=0)
    options = vars(parser.parse_args())
    directory, seed = options.pop("directory"), options.pop("seed")
    spec = write_model(directory, configuration(**options), seed)
    count = sum(int(np.prod(shape)) for shape in expected_parameters(spec).values())
    print(f"{directory}: {count / 1e6:.1f} M parameters")


if __name__ == "__main__":
    main()
