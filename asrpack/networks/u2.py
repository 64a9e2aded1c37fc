"""A U2 model (arXiv 2012.05481): encoder, CTC head and decoder, and the graphs of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import paddle
from paddle import nn

from asrpack.networks.decoder import (
    BiTransformerDecoder,
    TransformerDecoder,
    transformer_decoder,
)
from asrpack.networks.encoder import Encoder
from asrpack.networks.parameters import load
from asrpack.networks.squeezeformer import SqueezeformerEncoder
from asrpack.networks.squeezeformer_spec import SqueezeformerSpec
from asrpack.networks.u2_spec import EncoderSpec, U2Spec, unused_parameters


class CtcHead(nn.Layer):
    """Log-probabilities of units per frame."""

    def __init__(self, size: int, vocab_size: int) -> None:
        super().__init__()
        self.ctc_lo = nn.Linear(in_features=size, out_features=vocab_size)

    def forward(self, encoder_out: paddle.Tensor) -> paddle.Tensor:
        """Maps (B, T', size) to (B, T', vocab_size)."""
        return nn.functional.log_softmax(self.ctc_lo(encoder_out), axis=-1)


class U2(nn.Layer):
    """The parameters that PaddleSpeech's ``U2Model`` computes with, by the same names."""

    def __init__(self, spec: U2Spec) -> None:
        super().__init__()
        size = spec.encoder.output_size
        self.encoder = _encoder(spec.encoder)
        self.decoder = transformer_decoder(spec.decoder, size, spec.vocab_size)
        self.ctc = CtcHead(size, spec.vocab_size)


def _encoder(spec: EncoderSpec) -> nn.Layer:
    if isinstance(spec, SqueezeformerSpec):
        return SqueezeformerEncoder(spec)
    return Encoder(spec)


class EncoderGraph(nn.Layer):
    """What ``encoder.onnx`` computes."""

    def __init__(self, model: U2) -> None:
        super().__init__()
        self.encoder = model.encoder
        self.ctc = model.ctc

    def forward(
        self, feats: paddle.Tensor, feat_lens: paddle.Tensor
    ) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
        """Features (B, T, D) and lengths (B,) to encoder_out, ctc_log_probs, out_lens."""
        encoder_out, out_lens = self.encoder(feats, feat_lens)
        return encoder_out, self.ctc(encoder_out), out_lens


class StreamingEncoderGraph(nn.Layer):
    """What ``encoder.onnx`` computes where the model streams: a chunk, or a whole recording."""

    def __init__(self, model: U2) -> None:
        super().__init__()
        self.encoder = model.encoder
        self.ctc = model.ctc

    def forward(
        self,
        feats: paddle.Tensor,
        feat_lens: paddle.Tensor,
        offset: paddle.Tensor,
        cache_lens: paddle.Tensor,
        att_cache: paddle.Tensor,
        cnn_cache: paddle.Tensor | None = None,
    ) -> tuple[paddle.Tensor, ...]:
        """Of a chunk: encoder_out, ctc_log_probs, out_lens, and what follows on each cache."""
        encoder_out, out_lens, *caches = self.encoder.forward_chunk(
            feats, feat_lens, offset, cache_lens, att_cache, cnn_cache
        )
        outputs = [encoder_out, self.ctc(encoder_out), out_lens]
        return (*outputs, *(cache for cache in caches if cache is not None))


class DecoderGraph(nn.Layer):
    """What ``decoder.onnx`` computes, of hypotheses, or one step more of them."""

    def __init__(self, decoder: TransformerDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(
        self,
        encoder_out: paddle.Tensor,
        hyps_in: paddle.Tensor,
        ancestors: paddle.Tensor,
        cache: paddle.Tensor,
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Log-probabilities (N, M, V) of the token that follows each prefix, and their cache."""
        logits, outputs = self.decoder(encoder_out, hyps_in, ancestors, cache)
        return nn.functional.log_softmax(logits, axis=-1), outputs


class RightDecoderGraph(nn.Layer):
    """What ``right_decoder.onnx`` computes."""

    def __init__(self, decoder: TransformerDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(
        self,
        encoder_out: paddle.Tensor,
        hyps_in: paddle.Tensor,
        ancestors: paddle.Tensor,
    ) -> paddle.Tensor:
        """Log-probabilities (N, L, V) of the token that follows each prefix."""
        logits, _ = self.decoder(encoder_out, hyps_in, ancestors)
        return nn.functional.log_softmax(logits, axis=-1)


def decoder_graphs(model: U2) -> dict[str, nn.Layer]:
    """``decoder``, and ``right_decoder`` where the model has one."""
    if isinstance(model.decoder, BiTransformerDecoder):
        return {
            "decoder": DecoderGraph(model.decoder.left_decoder),
            "right_decoder": RightDecoderGraph(model.decoder.right_decoder),
        }
    return {"decoder": DecoderGraph(model.decoder)}


def build(spec: U2Spec, parameters: Mapping[str, np.ndarray]) -> U2:
    """The network with these parameters, set for evaluation.

    Args:
        spec: hyper-parameters.
        parameters: exactly the names and shapes of
            :func:`asrpack.networks.u2_spec.expected_parameters`; float32.

    Raises:
        ValueError: a name or shape is off (a frontend has checked that before).
    """
    # A guard of its own makes the names in exported files the same, whatever was built before.
    with paddle.utils.unique_name.guard():
        model = U2(spec)
    unused = unused_parameters(spec)
    load(model, {name: value for name, value in parameters.items() if name not in unused})
    return model
