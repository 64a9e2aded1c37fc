"""Whether a PaddleSpeech U2 model was trained to be run chunk by chunk, and how it then is."""

from __future__ import annotations

from asrpack.bundle.model import Streaming
from asrpack.errors import InputError
from asrpack.frontends.model_directory import DEFAULT_ENCODER
from asrpack.frontends.paddlespeech_config import Document, Section
from asrpack.networks.u2_graphs import streaming_states
from asrpack.networks.u2_spec import U2Spec

# What PaddleSpeech's own streaming servers take where a model's `decode` section says nothing.
DEFAULT_CHUNK = 16


def streaming_fault(config: Document) -> InputError | None:
    """Why a model cannot stream; None where it can.

    It must have been trained with chunks, and its convolutions must not look ahead: PaddleSpeech
    cannot run others chunk by chunk, either.
    """
    kind = config.values.get("encoder", DEFAULT_ENCODER)
    if kind == "squeezeformer":
        return _fault(config, ("encoder",), "PaddleSpeech has no squeezeformer that does")
    encoder = Section(config, ("encoder_conf",), config.values.get("encoder_conf"))
    if not encoder.boolean("use_dynamic_chunk", False):
        return _fault(
            config,
            ("encoder_conf", "use_dynamic_chunk"),
            "it was not trained with chunks of every size (use_dynamic_chunk)",
        )
    convolves = kind == "conformer" and encoder.boolean("use_cnn_module", True)
    if convolves and not encoder.boolean("causal", False):
        return _fault(
            config, ("encoder_conf", "causal"), "its convolutions look ahead (causal is not true)"
        )
    return None


def can_stream(config: Document) -> bool:
    """As :func:`streaming_fault` has it; False where the configuration cannot be read."""
    try:
        return streaming_fault(config) is None
    except InputError:
        return False


def read_streaming(config: Document, spec: U2Spec) -> Streaming:
    """Chunks as the model's ``decode`` section has them, and the encoder's states.

    Raises:
        InputError, ErrorGroup: the model cannot stream, or a field is of the wrong type.
    """
    if fault := streaming_fault(config):
        raise fault
    section = Section(config, ("decode",), config.values.get("decode"))
    chunk_size = section.integer("decoding_chunk_size", -1, minimum=-1)
    left_chunks = section.integer("num_decoding_left_chunks", -1, minimum=-1)
    # Not finish(): the section has the options of the search as well.
    section.problems.raise_if_any()
    return Streaming(
        chunk_size=chunk_size if chunk_size > 0 else DEFAULT_CHUNK,
        left_chunks=left_chunks,
        states=streaming_states(spec),
    )


def _fault(config: Document, keys: tuple[str, ...], why: str) -> InputError:
    return config.error(
        keys,
        f"the recipe asks for streaming, and this model cannot stream: {why}",
        code="not-streaming",
        remedy="take `streaming` out of the recipe, or choose a model that was trained to stream",
    )
