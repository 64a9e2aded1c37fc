"""The graphs of a U2 model, declared; free of Paddle."""

from __future__ import annotations

from asrpack.bundle.model import State
from asrpack.networks.encoder_spec import ConformerSpec
from asrpack.networks.interface import Dim, GraphSpec, floats, integers
from asrpack.networks.u2_spec import U2Spec


def streaming_states(spec: U2Spec) -> tuple[State, ...]:
    """What the encoder hands from chunk to chunk where it streams.

    Keys and values of every block's attention, and what its convolution saw last; not that where
    no convolution looks back.
    """
    encoder = spec.encoder
    size, blocks, heads = encoder.output_size, encoder.num_blocks, encoder.attention_heads
    states = [State("att_cache", (blocks, 1, heads, 0, 2 * size // heads), grows=True)]
    if isinstance(encoder, ConformerSpec) and encoder.causal and encoder.cnn_module_kernel > 1:
        states.append(State("cnn_cache", (blocks, 1, size, encoder.cnn_module_kernel - 1)))
    return tuple(states)


def graph_specs(spec: U2Spec, streaming: bool = False) -> tuple[GraphSpec, ...]:
    """``encoder``, ``decoder`` and, where the model has one, ``right_decoder``.

    Args:
        streaming: the encoder takes and gives its states.
    """
    size, vocab_size = spec.encoder.output_size, spec.vocab_size
    inputs = [floats("feats", "B", "T", spec.encoder.input_dim), integers("feat_lens", "B")]
    outputs = [
        floats("encoder_out", "B", "T_out", size, length="out_lens"),
        floats("ctc_log_probs", "B", "T_out", vocab_size, length="out_lens"),
        integers("out_lens", "B"),
    ]
    if streaming:
        inputs += [integers("offset", "B"), integers("cache_lens", "B")]
        for state in streaming_states(spec):
            inputs.append(floats(state.name, *_dims(state, "C")))
            outputs.append(floats(f"next_{state.name}", *_dims(state, "T_out")))
    encoder = GraphSpec("encoder", tuple(inputs), tuple(outputs))
    specs = [encoder, _decoder(spec)]
    if spec.decoder.r_num_blocks:
        specs.append(_right_decoder(spec))
    return tuple(specs)


def _decoder(spec: U2Spec) -> GraphSpec:
    blocks, size = spec.decoder.num_blocks, spec.encoder.output_size
    right = _right_decoder(spec)
    return GraphSpec(
        "decoder",
        (*right.inputs, floats("cache", blocks, "N", "C", size)),
        (
            floats("decoder_log_probs", "N", "M", spec.vocab_size),
            floats("next_cache", blocks, "N", "M", size),
        ),
    )


def _right_decoder(spec: U2Spec) -> GraphSpec:
    return GraphSpec(
        "right_decoder",
        (
            floats("encoder_out", 1, "T_out", spec.encoder.output_size),
            integers("hyps_in", "N", "L"),
            integers("ancestors", "L", "L"),
        ),
        (floats("decoder_log_probs", "N", "L", spec.vocab_size),),
    )


def _dims(state: State, grown: str) -> tuple[Dim, ...]:
    blocks, _, *rest = state.shape
    return (blocks, "B", *(size or grown for size in rest))
