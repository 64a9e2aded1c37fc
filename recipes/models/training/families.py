"""The families that are trained here: their `model.yaml`, and PaddleSpeech's network for it.

Sizes are chosen so that a checkpoint of float32 stays below 2.5 MB. DeepSpeech2's first recurrent
layer takes most of it: the convolution hands it 39 x 32 = 1248 values a step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from speech import Batch, fbank_step

DS2_CHUNK = 8  # steps a chunk: the default of PaddleSpeech's `forward_chunk_by_chunk`
U2_CHUNK = 16  # encoder frames a chunk


@dataclass(frozen=True)
class Family:
    """How one model is made.

    Attributes:
        experiment: the folder below `exp/`, as in PaddleSpeech's archives.
        bins: of the filterbank.
        unit_type: `char` or `spm`.
        network: the fields of `model.yaml` that PaddleSpeech builds the network from.
        decode: the section `decode` of `model.yaml`.
        learning_rate: the peak.
    """

    experiment: str
    bins: int
    unit_type: str
    network: Mapping[str, Any]
    decode: Mapping[str, Any]
    learning_rate: float

    @property
    def is_deepspeech2(self) -> bool:
        return "rnn_direction" in self.network


def deepspeech2(direction: str, size: int, experiment: str) -> Family:
    """After PaddleSpeech's examples/aishell/asr0/conf, with fewer and smaller layers.

    The weights of the language model were chosen on `validation.jsonl`.
    """
    return Family(
        experiment=experiment,
        bins=161,
        unit_type="char",
        network={
            "num_conv_layers": 2,
            "num_rnn_layers": 2,
            "rnn_layer_size": size,
            "rnn_direction": direction,
            "num_fc_layers": 0,
            "fc_layers_size_list": [-1],
            "use_gru": False,
            "blank_id": 0,
        },
        decode={
            "decode_batch_size": 1,
            "error_rate_type": "cer",
            "decoding_method": "ctc_beam_search",
            "lang_model_path": "words.arpa",
            "alpha": 0.5,
            "beta": 2.0,
            "beam_size": 50,
            "cutoff_prob": 1.0,
            "cutoff_top_n": 40,
            "num_proc_bsearch": 1,
        },
        learning_rate=2e-3,
    )


def u2(experiment: str, unit_type: str, **network: Any) -> Family:
    """After PaddleSpeech's examples/{wenetspeech,librispeech}/asr1/conf, smaller."""
    return Family(
        experiment=experiment,
        bins=80,
        unit_type=unit_type,
        network={"cmvn_file": None, "cmvn_file_type": "json", **network},
        decode={
            "decode_batch_size": 1,
            "error_rate_type": "wer",
            "decoding_method": "attention_rescoring",
            "beam_size": 10,
            "ctc_weight": 0.5,
            "decoding_chunk_size": -1,
            "num_decoding_left_chunks": -1,
            "simulate_streaming": False,
            "reverse_weight": network["model_conf"].get("reverse_weight", 0.0),
        },
        learning_rate=2e-3,
    )


DECODER = {
    "attention_heads": 4,
    "linear_units": 192,
    "num_blocks": 1,
    "dropout_rate": 0.1,
    "positional_dropout_rate": 0.1,
    "self_attention_dropout_rate": 0.0,
    "src_attention_dropout_rate": 0.0,
}
ENCODER = {
    "output_size": 64,
    "attention_heads": 4,
    "linear_units": 192,
    "num_blocks": 4,
    "dropout_rate": 0.05,
    "positional_dropout_rate": 0.05,
    "attention_dropout_rate": 0.0,
    "input_layer": "conv2d",
    "normalize_before": True,
}
FAMILIES: Mapping[str, Family] = {
    "deepspeech2online": deepspeech2("forward", 92, "deepspeech2_online"),
    "deepspeech2offline": deepspeech2("bidirect", 48, "deepspeech2"),
    "conformer_u2pp": u2(
        "chunk_conformer_u2pp",
        "char",
        encoder="conformer",
        encoder_conf={
            **ENCODER,
            "use_cnn_module": True,
            "cnn_module_kernel": 15,
            "activation_type": "swish",
            "pos_enc_layer_type": "rel_pos",
            "selfattention_layer_type": "rel_selfattn",
            "causal": True,
            "use_dynamic_chunk": True,
            "cnn_module_norm": "layer_norm",
            "use_dynamic_left_chunk": False,
        },
        decoder="bitransformer",
        decoder_conf={**DECODER, "r_num_blocks": 1},
        model_conf={
            "ctc_weight": 0.5,
            "lsm_weight": 0.1,
            "length_normalized_loss": False,
            "reverse_weight": 0.3,
            "init_type": "kaiming_uniform",
        },
    ),
    "transformer_spm": u2(
        "transformer",
        "spm",
        encoder="transformer",
        encoder_conf={**ENCODER, "num_blocks": 3},
        decoder="transformer",
        decoder_conf=DECODER,
        model_conf={"ctc_weight": 0.5, "lsm_weight": 0.1, "length_normalized_loss": False},
    ),
}


def configuration(family: Family, units: int, spm_model_prefix: str) -> dict[str, Any]:
    """All of `model.yaml`; paths are relative to the model's directory."""
    steps = [fbank_step(family.bins), {"type": "cmvn_json", "cmvn_path": "data/mean_std.json"}]
    return {
        "input_dim": family.bins,
        "output_dim": units,
        **family.network,
        "vocab_filepath": "data/lang_char/vocab.txt",
        "unit_type": family.unit_type,
        "spm_model_prefix": spm_model_prefix,
        "feat_dim": family.bins,
        "stride_ms": 10.0,
        "window_ms": 25.0,
        "preprocess_config": {"process": steps},
        "decode": dict(family.decode),
    }


def build(config: Mapping[str, Any]) -> Any:
    """PaddleSpeech's own network for a `model.yaml`."""
    import copy

    from yacs.config import CfgNode

    node = CfgNode(copy.deepcopy(dict(config)))
    if "rnn_direction" in config:
        from paddlespeech.s2t.models.ds2 import DeepSpeech2Model

        return DeepSpeech2Model.from_config(node)
    from paddlespeech.s2t.models.u2 import U2Model

    return U2Model.from_config(node)


def loss(network: Any, batch: Batch, rng: np.random.Generator) -> Any:
    """What PaddleSpeech minimizes: CTC, for U2 together with the attention decoders' entropy."""
    import paddle

    arrays = (batch.features, batch.lengths, batch.units, batch.unit_lengths)
    features, lengths, units, unit_lengths = (paddle.to_tensor(array) for array in arrays)
    if hasattr(network.encoder, "rnn"):
        return network(features, lengths, units, unit_lengths)
    # As U2Model.forward; the encoder would draw the chunk size with int() of an array of one
    # number, which NumPy 2.4 refuses.
    steps = batch.features.shape[1] // 4
    encoder_out, mask = network.encoder(features, lengths, draw_chunk_size(steps, rng))
    entropy, _ = network._calc_att_loss(
        encoder_out, mask, units, unit_lengths, network.reverse_weight
    )
    ctc = network.ctc(encoder_out, mask.squeeze(1).sum(1), units, unit_lengths)
    return network.ctc_weight * ctc + (1 - network.ctc_weight) * entropy


def draw_chunk_size(steps: int, rng: np.random.Generator) -> int:
    """Half of the time the whole context (-1), else 1-25 encoder frames.

    Source: Zhang et al., "Unified Streaming and Non-streaming Two-pass End-to-end Model for
    Speech Recognition", 2020. Only encoders with dynamic chunks heed it.
    """
    size = int(rng.integers(1, max(2, steps)))
    return -1 if size > steps // 2 else size % 25 + 1


def greedy_units(network: Any, features: np.ndarray, streaming: bool = False) -> list[int]:
    """Unit ids of one utterance by PaddleSpeech's networks, greedily.

    Args:
        features: normalized, shape (T, bins).
        streaming: chunk by chunk, as PaddleSpeech simulates it.
    """
    import paddle
    from paddlespeech.s2t.utils.ctc_utils import remove_duplicates_and_blank

    decode: Callable[..., Any] = _deepspeech2 if hasattr(network.encoder, "rnn") else _u2
    with paddle.no_grad():
        scores = decode(network, paddle.to_tensor(features[None]), streaming)
    return remove_duplicates_and_blank(scores[0].argmax(-1).numpy().tolist())


def _deepspeech2(network: Any, features: Any, streaming: bool) -> Any:
    """Probabilities of shape (1, T', units)."""
    import paddle

    lengths = paddle.to_tensor([features.shape[1]])
    if not streaming:
        return network.decoder.softmax(network.encoder(features, lengths)[0])
    chunks, chunk_lengths, *_ = network.encoder.forward_chunk_by_chunk(features, lengths, DS2_CHUNK)
    # The last chunk is filled up with zeros: its steps past the end do not count.
    kept = [max(0, n.item()) for n in chunk_lengths]
    steps = [chunk[:, :n] for chunk, n in zip(chunks, kept, strict=True) if n]
    return network.decoder.softmax(paddle.concat(steps, axis=1))


def _u2(network: Any, features: Any, streaming: bool) -> Any:
    """Log-probabilities of shape (1, T', units)."""
    import paddle

    lengths = paddle.to_tensor([features.shape[1]])
    chunk = U2_CHUNK if streaming else -1
    encoder_out, _ = network._forward_encoder(features, lengths, chunk, -1, streaming)
    return network.ctc.log_softmax(encoder_out)
