"""Writes a DeepSpeech2 model of any size in PaddleSpeech's directory layout, with random weights.

Right in size and speed, useless as a recognizer. Needs neither Paddle nor PaddleSpeech:

    python -m benchmarks.make_deepspeech2 /tmp/deepspeech2         # online: 5 x 1024, 4301 units
    python -m benchmarks.make_deepspeech2 /tmp/small --layers 2 --size 64 --direction bidirect
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asrpack.frontends.paddlespeech_config import Document
from asrpack.frontends.paddlespeech_deepspeech2 import read_spec
from asrpack.networks.deepspeech2_spec import DeepSpeech2Spec, aliases, expected_parameters
from benchmarks.make_conformer import random_weights, write_checkpoint, write_files


def configuration(
    *,
    layers: int = 5,
    size: int = 1024,
    direction: str = "forward",
    use_gru: bool = False,
    fully_connected: Sequence[int] = (),
    vocabulary: int = 4301,
    bins: int = 161,
    decode: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A ``model.yaml`` as PaddleSpeech's ``deepspeech2online_aishell`` has it, in these sizes."""
    return {
        "input_dim": bins,
        "output_dim": vocabulary,
        "num_conv_layers": 2,
        "num_rnn_layers": layers,
        "rnn_layer_size": size,
        "rnn_direction": direction,
        "num_fc_layers": len(fully_connected),
        # PaddleSpeech's recipes have this text where there are no such layers.
        "fc_layers_size_list": list(fully_connected) or "-1,",
        "use_gru": use_gru,
        "blank_id": 0,
        "vocab_filepath": "data/lang_char/vocab.txt",
        "unit_type": "char",
        "spm_model_prefix": "",
        "preprocess_config": {
            "process": [
                {"type": "fbank_kaldi", "fs": 16000, "n_mels": bins, "n_shift": 160,
                 "win_length": 400, "dither": 0.1},
                {"type": "cmvn_json", "cmvn_path": "data/mean_std.json"},
            ]
        },
        "decode": {
            "decode_batch_size": 128,
            "error_rate_type": "cer",
            "decoding_method": "ctc_beam_search",
            "lang_model_path": "zh_giga.no_cna_cmn.prune01244.klm",
            "alpha": 1.9,
            "beta": 5.0,
            "beam_size": 500,
            "cutoff_prob": 1.0,
            "cutoff_top_n": 40,
            "num_proc_bsearch": 10,
            **(decode or {}),
        },
    }  # fmt: skip


def write_model(
    directory: Path, config: Mapping[str, Any], seed: int = 0, *, sharpness: float = 1.0
) -> DeepSpeech2Spec:
    """Writes ``model.yaml``, vocabulary, CMVN and ``exp/deepspeech2/checkpoints/avg_1.pdparams``.

    Args:
        directory: made if it is not there.
        config: as :func:`configuration` gives it.
        seed: same seed, same weights.
        sharpness: factor of the output layer's weights; at 1 all units are about equally likely.
    """
    write_files(directory, config)
    spec = read_spec(Document.read(directory / "model.yaml"))
    weights = random_weights(expected_parameters(spec), seed)
    weights["decoder.ctc_lo.weight"] *= np.float32(sharpness)
    # As Paddle saves them.
    again = {alias: weights[name] for alias, name in aliases(spec).items()}
    checkpoint = directory / "exp/deepspeech2/checkpoints/avg_1.pdparams"
    write_checkpoint(checkpoint, {**weights, **again})
    return spec


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--direction", choices=("forward", "bidirect"), default="forward")
    parser.add_argument("--use-gru", action="store_true")
    parser.add_argument("--vocabulary", type=int, default=4301)
    parser.add_argument("--seed", type=int, default=0)
    options = vars(parser.parse_args())
    directory, seed = options.pop("directory"), options.pop("seed")
    spec = write_model(directory, configuration(**options), seed)
    count = sum(int(np.prod(shape)) for shape in expected_parameters(spec).values())
    print(f"{directory}: {count / 1e6:.1f} M parameters")


if __name__ == "__main__":
    main()
