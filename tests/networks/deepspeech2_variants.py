"""Small DeepSpeech2 models over the options that are supported, and random weights for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from asrpack.bundle.model import FbankSpec, ModelDescription
from asrpack.networks.deepspeech2_graphs import streaming
from asrpack.networks.deepspeech2_spec import SUBSAMPLING, DeepSpeech2Spec, expected_parameters
from benchmarks.make_conformer import random_weights

SPEC = DeepSpeech2Spec(
    vocab_size=13,
    input_dim=161,
    num_rnn_layers=3,
    rnn_layer_size=12,
    rnn_direction="forward",
    use_gru=False,
)
VARIANTS = {
    "lstm forward": SPEC,
    "lstm both ways": replace(SPEC, rnn_direction="bidirect"),
    "gru forward": replace(SPEC, use_gru=True),
    "gru both ways": replace(SPEC, use_gru=True, rnn_direction="bidirect"),
    "one layer": replace(SPEC, num_rnn_layers=1),
    "fully connected": replace(SPEC, fc_layers_size_list=(10, 7)),
    "gru, both ways, fully connected": replace(
        SPEC, use_gru=True, rnn_direction="bidirect", fc_layers_size_list=(9,), num_rnn_layers=2
    ),
    "80 bins": replace(SPEC, input_dim=80, rnn_layer_size=5),
}
STREAMING = {name: spec for name, spec in VARIANTS.items() if not spec.bidirectional}


def weights(spec: DeepSpeech2Spec, seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights for it, all different from what layers are initialized with."""
    return random_weights(expected_parameters(spec), seed)


def batch(spec: DeepSpeech2Spec, lengths: tuple[int, ...], seed: int = 1) -> np.ndarray:
    """Noise all over, (B, T, input_dim): what lies past a length must not matter."""
    shape = (len(lengths), max(lengths), spec.input_dim)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def description(spec: DeepSpeech2Spec) -> ModelDescription:
    """What a frontend would say of it."""
    return ModelDescription(
        family="paddlespeech_deepspeech2",
        front_end=FbankSpec(num_mel_bins=spec.input_dim),
        cmvn=None,
        tokens=tuple(map(str, range(spec.vocab_size))),
        graphs=("encoder",),
        subsampling=SUBSAMPLING.factor,
        right_context=SUBSAMPLING.right_context,
        max_frames=None,
        streaming=streaming(spec),
        network=spec.to_dict(),
    )
