"""Hyper-parameters of a U2 model, and the parameters that follow from them.

Free of Paddle, so that a frontend can hold a checkpoint against its configuration in no time.
``tests/networks/test_u2_spec.py`` holds :func:`expected_parameters` to be what the networks have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from asrpack.errors import InputError
from asrpack.networks.encoder_spec import ConformerSpec, TransformerEncoderSpec
from asrpack.networks.parameter_shapes import (
    Shapes,
    attention,
    feed_forward,
    linear,
    norm,
    under,
)
from asrpack.networks.squeezeformer_spec import SqueezeformerSpec

EncoderSpec = ConformerSpec | TransformerEncoderSpec | SqueezeformerSpec
# By the word that PaddleSpeech's ``encoder`` has for it.
ENCODERS: dict[str, type[EncoderSpec]] = {
    "conformer": ConformerSpec,
    "transformer": TransformerEncoderSpec,
    "squeezeformer": SqueezeformerSpec,
}


@dataclass(frozen=True)
class DecoderSpec:
    """A transformer decoder; fields as PaddleSpeech's ``decoder_conf``.

    Attributes:
        r_num_blocks: blocks of the right-to-left decoder of a ``bitransformer``, else 0.
    """

    attention_heads: int
    linear_units: int
    num_blocks: int
    r_num_blocks: int
    normalize_before: bool
    concat_after: bool
    max_len: int


@dataclass(frozen=True)
class U2Spec:
    """Encoder, CTC head and decoder over one vocabulary."""

    vocab_size: int
    encoder: EncoderSpec
    decoder: DecoderSpec

    @property
    def encoder_type(self) -> str:
        """One of :data:`ENCODERS`."""
        return next(name for name, kind in ENCODERS.items() if isinstance(self.encoder, kind))

    def to_dict(self) -> dict[str, Any]:
        """As it is kept in ``ModelDescription.network``."""
        return {"encoder_type": self.encoder_type, **asdict(self)}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> U2Spec:
        """Reads what :meth:`to_dict` gave.

        Raises:
            InputError: fields missing or unknown.
        """
        try:
            encoder = ENCODERS[raw["encoder_type"]](**raw["encoder"])
            return cls(raw["vocab_size"], encoder, DecoderSpec(**raw["decoder"]))
        except (KeyError, TypeError) as error:
            raise InputError(
                f"the network's hyper-parameters cannot be read: {error}",
                code="model-description",
                place="model.json",
                remedy="run the import stage again with this version of asrpack",
            ) from error


def expected_parameters(spec: U2Spec) -> Shapes:
    """Name and shape of every parameter and buffer of PaddleSpeech's ``U2Model``."""
    return {
        **under("encoder", spec.encoder.parameters()),
        **under("decoder", _decoders(spec)),
        **under("ctc.ctc_lo", linear(spec.encoder.output_size, spec.vocab_size)),
    }


def unused_parameters(spec: U2Spec) -> frozenset[str]:
    """Those of :func:`expected_parameters` that the networks leave out: see the encoder."""
    if isinstance(spec.encoder, SqueezeformerSpec):
        return frozenset(f"encoder.{name}" for name in spec.encoder.unused_parameters())
    return frozenset()


def _decoders(spec: U2Spec) -> Shapes:
    left = _decoder(spec, spec.decoder.num_blocks)
    if not spec.decoder.r_num_blocks:
        return left
    right = _decoder(spec, spec.decoder.r_num_blocks)
    return {**under("left_decoder", left), **under("right_decoder", right)}


def _decoder(spec: U2Spec, blocks: int) -> Shapes:
    size, vocab_size = spec.encoder.output_size, spec.vocab_size
    names: Shapes = {"embed.0.weight": (vocab_size, size)}
    for index in range(blocks):
        block = f"decoders.{index}"
        for heads in ("self_attn", "src_attn"):
            names |= under(f"{block}.{heads}", attention(size))
        names |= under(f"{block}.feed_forward", feed_forward(size, spec.decoder.linear_units))
        for name in ("norm1", "norm2", "norm3"):
            names |= under(f"{block}.{name}", norm(size))
        # PaddleSpeech makes these two whether concat_after is set or not.
        for name in ("concat_linear1", "concat_linear2"):
            names |= under(f"{block}.{name}", linear(2 * size, size))
    names |= under("after_norm", norm(size))
    return names | under("output_layer", linear(size, vocab_size))
