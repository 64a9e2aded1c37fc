"""The configurations of PaddleSpeech's published speech recognition tags, in their real sizes.

After the ``conf/*.yaml`` of PaddleSpeech's examples, from which the tags were trained. Vocabularies
are of the published sizes; their units are stand-ins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks import make_deepspeech2
from benchmarks.make_conformer import configuration

_STREAMING = {"causal": True, "use_dynamic_chunk": True, "cnn_module_norm": "layer_norm"}
_SUBWORDS = {"unit_type": "spm", "spm_model_prefix": "data/lang_char/bpe"}
_ONLINE_DECODE = {
    "decoding_chunk_size": 16,
    "num_decoding_left_chunks": -1,
    "simulate_streaming": True,
}
_COMMON_CRAWL = "common_crawl_00.prune01111.trie.klm"


@dataclass(frozen=True)
class Tag:
    """One published model.

    Attributes:
        config: its ``model.yaml``.
        streams: trained for decoding chunk by chunk.
    """

    name: str
    config: dict[str, Any]
    streams: bool = False

    @property
    def both_ways(self) -> bool:
        """It has a right-to-left decoder."""
        return self.config.get("decoder") == "bitransformer"


def all_tags() -> tuple[Tag, ...]:
    """Every tag of the zoo, but for wav2vec 2.0 and HuBERT."""
    return (*u2_tags(), *deepspeech2_tags())


def u2_tags() -> tuple[Tag, ...]:
    """Those with a U2 or U2++ network."""
    small = {"size": 256, "heads": 4}
    large = {"size": 512, "heads": 8}
    return (
        Tag("conformer_aishell-zh-16k", configuration(vocabulary=4233, **small)),
        Tag("conformer_wenetspeech-zh-16k", _wenetspeech(large)),
        Tag("conformer_online_aishell-zh-16k", _online(configuration(**small)), streams=True),
        Tag(
            "conformer_online_wenetspeech-zh-16k",
            _online(configuration(vocabulary=5537, **large)),
            streams=True,
        ),
        Tag(
            "conformer_online_multicn-zh-16k",
            _online(configuration(vocabulary=5529, **small)),
            streams=True,
        ),
        Tag("conformer_u2pp_online_wenetspeech-zh-16k", _u2pp(large), streams=True),
        Tag(
            "conformer_talcs-codeswitch_zh_en-16k",
            configuration(vocabulary=11297, **large) | _SUBWORDS,
        ),
        Tag("transformer_librispeech-en-16k", _transformer()),
    )


def deepspeech2_tags() -> tuple[Tag, ...]:
    """Those with a DeepSpeech2 network: two convolutions, five LSTM layers of 1024.

    Of the one trained on WenetSpeech only the archive's size (1.2 GB) is published. Layers of 2048
    fit that, layers of 1024 do not.
    """
    tuned = {"alpha": 2.2, "beta": 4.3, "cutoff_prob": 0.99}
    english = {"alpha": 1.9, "beta": 0.3, "lang_model_path": _COMMON_CRAWL}
    return (
        Tag(
            "deepspeech2offline_aishell-zh-16k",
            make_deepspeech2.configuration(vocabulary=4301, direction="bidirect", decode=tuned),
        ),
        Tag(
            "deepspeech2online_aishell-zh-16k",
            make_deepspeech2.configuration(vocabulary=4301, decode=tuned),
            streams=True,
        ),
        Tag(
            "deepspeech2online_wenetspeech-zh-16k",
            make_deepspeech2.configuration(vocabulary=5538, size=2048, decode=tuned),
            streams=True,
        ),
        Tag(
            "deepspeech2offline_librispeech-en-16k",
            make_deepspeech2.configuration(vocabulary=31, direction="bidirect", decode=english),
        ),
    )


def _wenetspeech(size: dict[str, int]) -> dict[str, Any]:
    config = configuration(vocabulary=5537, **size)
    config["encoder_conf"]["cnn_module_norm"] = "layer_norm"
    # The network normalizes its input itself.
    config["cmvn_file"] = "data/mean_std.json"
    del config["preprocess_config"]["process"][1]
    return config


def _online(config: dict[str, Any]) -> dict[str, Any]:
    config["encoder_conf"] |= _STREAMING
    config["decode"] |= _ONLINE_DECODE
    return config


def _u2pp(size: dict[str, int]) -> dict[str, Any]:
    config = _online(configuration(vocabulary=5537, decoder_blocks=3, **size))
    config["decoder"] = "bitransformer"
    config["decoder_conf"]["r_num_blocks"] = 3
    config["model_conf"]["reverse_weight"] = 0.3
    config["decode"]["reverse_weight"] = 0.3
    return config


def _transformer() -> dict[str, Any]:
    config = configuration(vocabulary=5002, size=256, heads=4)
    config |= {"encoder": "transformer", **_SUBWORDS}
    kept = (
        "output_size", "attention_heads", "linear_units", "num_blocks", "dropout_rate",
        "positional_dropout_rate", "attention_dropout_rate", "input_layer", "normalize_before",
    )  # fmt: skip
    config["encoder_conf"] = {name: config["encoder_conf"][name] for name in kept}
    return config
