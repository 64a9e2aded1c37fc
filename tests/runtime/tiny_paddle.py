"""The model of :mod:`tests.runtime.tiny` as Paddle Inference files, exported as a build does it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import paddle
from paddle import nn
from paddle.nn import functional

from asrpack.graph.pir.program import Program
from asrpack.networks.inference_files import save
from asrpack.networks.interface import GraphSpec, floats, integers
from tests.runtime.tiny import BINS, SIZE

_ENCODER = GraphSpec(
    "encoder",
    (floats("feats", "B", "T", BINS), integers("feat_lens", "B")),
    (
        floats("encoder_out", "B", "U", BINS),
        floats("ctc_log_probs", "B", "U", SIZE),
        integers("out_lens", "B"),
    ),
)
_ENDS = (
    floats("encoder_out", "N", "U", BINS),
    integers("encoder_lens", "N"),
    integers("hyps_in", "N", "L"),
    integers("hyps_lens", "N"),
)
_DECODER = GraphSpec("decoder", _ENDS, (floats("decoder_log_probs", "N", "L", SIZE),))
_CACHED_DECODER = GraphSpec(
    "decoder",
    (
        floats("encoder_out", 1, "U", BINS),
        integers("hyps_in", "N", "L"),
        integers("ancestors", "L", "L"),
        floats("cache", 1, "N", "C", SIZE),
    ),
    (floats("decoder_log_probs", "N", "M", SIZE), floats("next_cache", 1, "N", "M", SIZE)),
)


def graphs() -> dict[str, bytes]:
    """Of :func:`tests.runtime.tiny.describe`'s model."""
    return encoder() | _files(_Decoder(), _DECODER)


def encoder(scale: float = 1.0) -> dict[str, bytes]:
    """As :func:`tests.runtime.tiny.encoder`."""
    return _files(_Encoder(scale), _ENCODER)


def cached_decoder() -> dict[str, bytes]:
    """As :func:`tests.runtime.tiny.cached_decoder`."""
    return _files(_CachedDecoder(), _CACHED_DECODER)


class _Encoder(nn.Layer):
    def __init__(self, scale: float) -> None:
        super().__init__()
        weight = np.random.default_rng(1).standard_normal((BINS, SIZE)).astype(np.float32)
        self.weight = _parameter(weight * scale)

    def forward(self, feats, feat_lens):
        out = feats[:, 3::4]
        return out, functional.log_softmax(paddle.matmul(out, self.weight)), feat_lens // 4


class _Decoder(nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.table = _parameter(np.random.default_rng(2).standard_normal((SIZE, SIZE)))

    def forward(self, encoder_out, encoder_lens, hyps_in, hyps_lens):
        # All inputs have to be there after tracing, too.
        nothing = 0 * (encoder_out.sum() + (encoder_lens + hyps_lens).sum().astype("float32"))
        return functional.log_softmax(functional.embedding(hyps_in, self.table) + nothing)


class _CachedDecoder(nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.table = _parameter(np.random.default_rng(3).standard_normal((SIZE, SIZE)))

    def forward(self, encoder_out, hyps_in, ancestors, cache):
        nothing = 0 * encoder_out.sum()
        known = paddle.shape(cache)[2]
        new = functional.embedding(hyps_in[:, known:], self.table).unsqueeze(0)
        looked_up = paddle.concat([cache, new], axis=2).squeeze(0)
        sums = paddle.matmul(ancestors[known:].astype("float32"), looked_up)
        return functional.log_softmax(sums + nothing), new


def _parameter(values: np.ndarray) -> paddle.Tensor:
    initial = nn.initializer.Assign(values.astype(np.float32))
    return paddle.create_parameter(list(values.shape), "float32", default_initializer=initial)


def _files(layer: nn.Layer, spec: GraphSpec) -> dict[str, bytes]:
    layer.eval()
    with tempfile.TemporaryDirectory() as folder:
        save(layer, spec, Path(folder))
        program = Program.load(Path(folder) / spec.name)
        program.name_outputs(spec.output_names)
        program.save(Path(folder) / spec.name)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}
