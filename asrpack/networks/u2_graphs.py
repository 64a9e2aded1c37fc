"""The graphs of a U2 model, declared; free of Paddle."""

from __future__ import annotations

from asrpack.networks.interface import GraphSpec, floats, integers
from asrpack.networks.u2_spec import U2Spec


def graph_specs(spec: U2Spec) -> tuple[GraphSpec, ...]:
    """``encoder``, ``decoder`` and, where the model has one, ``right_decoder``."""
    size, vocab_size = spec.encoder.output_size, spec.vocab_size
    encoder = GraphSpec(
        "encoder",
        (floats("feats", "B", "T", spec.encoder.input_dim), integers("feat_lens", "B")),
        (
            floats("encoder_out", "B", "T_out", size, length="out_lens"),
            floats("ctc_log_probs", "B", "T_out", vocab_size, length="out_lens"),
            integers("out_lens", "B"),
        ),
    )
    decoders = ["decoder"]
    if spec.decoder.r_num_blocks:
        decoders.append("right_decoder")
    return encoder, *(_decoder(name, size, vocab_size) for name in decoders)


def _decoder(name: str, size: int, vocab_size: int) -> GraphSpec:
    return GraphSpec(
        name,
        (
            floats("encoder_out", "N", "T_out", size),
            integers("encoder_lens", "N"),
            integers("hyps_in", "N", "L"),
            integers("hyps_lens", "N"),
        ),
        (floats("decoder_log_probs", "N", "L", vocab_size, length="hyps_lens"),),
    )
