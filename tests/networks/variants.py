"""Small U2 models over the options that are supported, and random weights for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from asrpack.networks.encoder_spec import ACTIVATIONS, ConformerSpec, TransformerEncoderSpec
from asrpack.networks.squeezeformer_spec import SqueezeformerSpec
from asrpack.networks.u2_spec import DecoderSpec, U2Spec, expected_parameters
from benchmarks.make_conformer import random_weights

ENCODER = ConformerSpec(
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
    static_chunk_size=0,
    global_cmvn=False,
)
TRANSFORMER = TransformerEncoderSpec(
    input_dim=80,
    output_size=16,
    attention_heads=4,
    linear_units=24,
    num_blocks=2,
    input_layer="conv2d",
    pos_enc_layer_type="abs_pos",
    normalize_before=True,
    concat_after=False,
    static_chunk_size=0,
    global_cmvn=False,
)
SQUEEZEFORMER = SqueezeformerSpec(
    input_dim=80,
    encoder_dim=16,
    output_size=16,
    attention_heads=4,
    num_blocks=3,
    reduce_idx=(1,),
    recover_idx=(2,),
    feed_forward_expansion_factor=2,
    dw_stride=False,
    pos_enc_layer_type="rel_pos",
    time_reduction_layer_type="conv1d",
    cnn_module_kernel=15,
    cnn_norm_type="layer_norm",
    adaptive_scale=True,
    activation_type="swish",
    normalize_before=False,
    concat_after=False,
    static_chunk_size=0,
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

_CONFORMERS: dict[str, dict[str, object]] = {
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
    "rotary positions": {"pos_enc_layer_type": "rope_pos"},
    "normalize after": {"normalize_before": False},
    "concat after": {"concat_after": True},
    "no subsampling": {"input_layer": "linear"},
    "subsampling 6": {"input_layer": "conv2d6"},
    "subsampling 8": {"input_layer": "conv2d8"},
    "static chunks": {"static_chunk_size": 4, "causal": True},
    "global CMVN": {"global_cmvn": True},
    "40 bins": {"input_dim": 40},
    **{name: {"activation_type": name} for name in ACTIVATIONS if name != "swish"},
}
_TRANSFORMERS: dict[str, dict[str, object]] = {
    "plain": {},
    "relative positions": {"pos_enc_layer_type": "rel_pos"},
    "rotary positions": {"pos_enc_layer_type": "rope_pos"},
    "no positions": {"pos_enc_layer_type": "no_pos"},
    "normalize after": {"normalize_before": False},
    "concat after": {"concat_after": True},
    "no subsampling": {"input_layer": "linear"},
    "no subsampling, no positions": {"input_layer": "linear", "pos_enc_layer_type": "no_pos"},
    "subsampling 6": {"input_layer": "conv2d6"},
    "subsampling 8": {"input_layer": "conv2d8"},
    "static chunks": {"static_chunk_size": 4},
    "global CMVN": {"global_cmvn": True},
}
_DEEP = {"num_blocks": 5, "reduce_idx": (0, 1)}
_SQUEEZEFORMERS: dict[str, dict[str, object]] = {
    "plain": {},
    "conv2d": {"time_reduction_layer_type": "conv2d"},
    "stream": {"time_reduction_layer_type": "stream"},
    "absolute positions": {"pos_enc_layer_type": "abs_pos"},
    "rotary positions": {"pos_enc_layer_type": "rope_pos"},
    "depthwise stride": {"dw_stride": True},
    "no adaptive scale": {"adaptive_scale": False},
    "normalize before": {"normalize_before": True},
    "concat after": {"concat_after": True},
    "other size": {"output_size": 24},
    "relu": {"activation_type": "relu"},
    "batch norm": {"cnn_norm_type": "batch_norm", "cnn_module_kernel": 7},
    "no reduction": {"reduce_idx": (), "recover_idx": ()},
    "no recovery": {"recover_idx": ()},
    "conv2d, no recovery": {"time_reduction_layer_type": "conv2d", "recover_idx": ()},
    "late recovery": {"recover_idx": (11,)},
    "two reductions": {**_DEEP, "recover_idx": (2, 3)},
    "two reductions, conv2d": {
        **_DEEP, "recover_idx": (2, 3), "time_reduction_layer_type": "conv2d"
    },
    "two reductions, no recovery": {**_DEEP, "recover_idx": ()},
    "in turn": {"num_blocks": 5, "reduce_idx": (0, 2), "recover_idx": (1, 4)},
    "at once": {"reduce_idx": (1,), "recover_idx": (1,)},
    "stream, concat after, normalize before": {
        "time_reduction_layer_type": "stream", "concat_after": True, "normalize_before": True
    },
    "conv2d, concat after, no recovery": {
        "time_reduction_layer_type": "conv2d", "concat_after": True, "recover_idx": ()
    },
    "static chunks": {"static_chunk_size": 4},
    "static chunks, conv2d": {"static_chunk_size": 5, "time_reduction_layer_type": "conv2d"},
    "global CMVN": {"global_cmvn": True},
}  # fmt: skip
VARIANTS = {
    name: replace(SPEC, encoder=replace(ENCODER, **changes))  # type: ignore[arg-type]
    for name, changes in _CONFORMERS.items()
}
VARIANTS |= {
    f"transformer: {name}": replace(SPEC, encoder=replace(TRANSFORMER, **changes))  # type: ignore[arg-type]
    for name, changes in _TRANSFORMERS.items()
}
VARIANTS |= {
    f"squeezeformer: {name}": replace(SPEC, encoder=replace(SQUEEZEFORMER, **changes))  # type: ignore[arg-type]
    for name, changes in _SQUEEZEFORMERS.items()
}
VARIANTS["decoder: normalize after"] = replace(
    SPEC, decoder=replace(DECODER, normalize_before=False)
)
VARIANTS["decoder: both ways"] = replace(SPEC, decoder=replace(DECODER, r_num_blocks=1))
VARIANTS["decoder: concat after"] = replace(SPEC, decoder=replace(DECODER, concat_after=True))


def weights(spec: U2Spec, seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights for it, all different from what layers are initialized with."""
    return random_weights(expected_parameters(spec), seed)
