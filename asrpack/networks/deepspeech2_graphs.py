"""The graph of a DeepSpeech2 model, declared, and how it streams; free of Paddle."""

from __future__ import annotations

from asrpack.bundle.model import State, Streaming
from asrpack.networks.deepspeech2_spec import DeepSpeech2Spec
from asrpack.networks.interface import GraphSpec, floats, integers

# PaddleSpeech's ``forward_chunk_by_chunk`` takes 8 (a window of 35 input frames every 32), its
# server 1 (7 every 4). The frames are the same for any: a unidirectional network sees no chunks.
CHUNK_SIZE = 8


def streaming(spec: DeepSpeech2Spec) -> Streaming | None:
    """How the model is run chunk by chunk; None where it is bidirectional.

    Windows do not overlap in what they give: PaddleSpeech's server drops the last input frames
    that make no window, and ``forward_chunk_by_chunk`` fills them up with zeros and counts none of
    what comes of that. Both give ``SUBSAMPLING.length(T)`` frames in all, as the whole recording
    does.
    """
    if spec.bidirectional:
        return None
    shape = (spec.num_rnn_layers, 1, spec.rnn_layer_size)
    names = ("h",) if spec.use_gru else ("h", "c")
    return Streaming(CHUNK_SIZE, left_chunks=-1, states=tuple(State(name, shape) for name in names))


def graph_specs(spec: DeepSpeech2Spec, states: tuple[State, ...] = ()) -> tuple[GraphSpec, ...]:
    """``encoder``.

    Args:
        states: what it takes and gives where it streams.
    """
    inputs = [floats("feats", "B", "T", spec.input_dim), integers("feat_lens", "B")]
    outputs = [
        floats("ctc_log_probs", "B", "T_out", spec.vocab_size, length="out_lens"),
        integers("out_lens", "B"),
    ]
    for state in states:
        layers, _, size = state.shape
        inputs.append(floats(state.name, layers, "B", size))
        outputs.append(floats(f"next_{state.name}", layers, "B", size))
    return (GraphSpec("encoder", tuple(inputs), tuple(outputs)),)
