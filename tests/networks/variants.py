"""Small U2 models over the options that are supported, and random weights for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from asrpack.networks.u2_spec import DecoderSpec, EncoderSpec, U2Spec, expected_parameters
from benchmarks.make_conformer import random_weights

ENCODER = EncoderSpec(
    input_dim=80,
    output_size=16,
    attention_heads=4,
    linear_units=24,
    num_blocks=2,
    input_layer="conv2d",
    pos_enc_layer_type="rel_pos",
    activation_type="swish",
    normalize_before=True,
    concat_after=False,
    macaron_style=True,
    cnn_module_kernel=15,
    cnn_module_norm="batch_norm",
    causal=False,
    max_len=500,
    global_cmvn=False,
)
DECODER = DecoderSpec(
    attention_heads=2,
    linear_units=20,
    num_blocks=2,
    r_num_blocks=0,
    normalize_before=True,
    concat_after=False,
    max_len=500,
)
SPEC = U2Spec(vocab_size=13, encoder=ENCODER, decoder=DECODER)

_ENCODERS: dict[str, dict[str, object]] = {
    "plain": {},
    "causal": {"causal": True, "cnn_module_norm": "layer_norm"},
    "causal batch norm": {"causal": True},
    "layer norm": {"cnn_module_norm": "layer_norm"},
    "kernel 1": {"cnn_module_kernel": 1},
    "kernel 31": {"cnn_module_kernel": 31},
    "even causal kernel": {"cnn_module_kernel": 8, "causal": True},
    "no convolution": {"cnn_module_kernel": 0},
    "no macaron": {"macaron_style": False},
    "absolute positions": {"pos_enc_layer_type": "abs_pos"},
    "normalize after": {"normalize_before": False},
    "concat after": {"concat_after": True},
    "subsampling 6": {"input_layer": "conv2d6"},
    "subsampling 8": {"input_layer": "conv2d8"},
    "global CMVN": {"global_cmvn": True},
    "40 bins": {"input_dim": 40},
    **{name: {"activation_type": name} for name in ("relu", "gelu", "tanh", "elu", "selu")},
    **{name: {"activation_type": name} for name in ("hardtanh", "leakyrelu", "relu6")},
}
VARIANTS = {
    name: replace(SPEC, encoder=replace(ENCODER, **changes))  # type: ignore[arg-type]
    for name, changes in _ENCODERS.items()
}
VARIANTS["decoder: normalize after"] = replace(
    SPEC, decoder=replace(DECODER, normalize_before=False)
)
VARIANTS["decoder: both ways"] = replace(SPEC, decoder=replace(DECODER, r_num_blocks=1))
VARIANTS["decoder: concat after"] = replace(SPEC, decoder=replace(DECODER, concat_after=True))


def weights(spec: U2Spec, seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights for it, all different from what layers are initialized with."""
    return random_weights(expected_parameters(spec), seed)
