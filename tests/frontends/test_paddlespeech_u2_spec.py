"""What is read from ``encoder_conf`` of each kind of encoder, and what is refused there."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from asrpack.errors import AsrpackError, ErrorGroup
from asrpack.frontends.paddlespeech_config import Document
from asrpack.frontends.paddlespeech_u2 import read, recognise
from asrpack.frontends.paddlespeech_u2_spec import read_spec
from asrpack.networks.encoder_spec import ConformerSpec, TransformerEncoderSpec
from asrpack.networks.squeezeformer_spec import SqueezeformerSpec
from asrpack.networks.u2_spec import EncoderSpec, U2Spec
from benchmarks.make_conformer import configuration, write_model
from tests.networks.variants import VARIANTS


def spec_of(folder: Path, encoder: str | None, decode: Any = None, **conf: Any) -> U2Spec:
    path = folder / "model.yaml"
    values = {"input_dim": 80, "output_dim": 20, "encoder_conf": conf, "decode": decode or {}}
    # JSON is YAML.
    path.write_text(json.dumps(values | ({"encoder": encoder} if encoder else {}), indent=1))
    return read_spec(Document.read(path))


def encoder_of(folder: Path, encoder: str | None, **conf: Any) -> EncoderSpec:
    return spec_of(folder, encoder, **conf).encoder


def test_defaults_of_a_conformer(tmp_path: Path) -> None:
    assert encoder_of(tmp_path, "conformer") == ConformerSpec(
        input_dim=80,
        output_size=256,
        attention_heads=4,
        linear_units=2048,
        num_blocks=6,
        input_layer="conv2d",
        pos_enc_layer_type="rel_pos",
        normalize_before=True,
        concat_after=False,
        static_chunk_size=0,
        global_cmvn=False,
        activation_type="swish",
        macaron_style=True,
        cnn_module_kernel=15,
        cnn_module_norm="batch_norm",
        causal=False,
        max_len=5000,
    )


# Without the field, PaddleSpeech makes a transformer.
@pytest.mark.parametrize("encoder", ["transformer", None])
def test_defaults_of_a_transformer(tmp_path: Path, encoder: str | None) -> None:
    assert encoder_of(tmp_path, encoder) == TransformerEncoderSpec(
        input_dim=80,
        output_size=256,
        attention_heads=4,
        linear_units=2048,
        num_blocks=6,
        input_layer="conv2d",
        pos_enc_layer_type="abs_pos",
        normalize_before=True,
        concat_after=False,
        static_chunk_size=0,
        global_cmvn=False,
    )


def test_defaults_of_a_squeezeformer(tmp_path: Path) -> None:
    assert encoder_of(tmp_path, "squeezeformer") == SqueezeformerSpec(
        input_dim=80,
        encoder_dim=256,
        output_size=256,
        attention_heads=4,
        num_blocks=12,
        reduce_idx=(5,),
        recover_idx=(11,),
        feed_forward_expansion_factor=4,
        dw_stride=False,
        pos_enc_layer_type="rel_pos",
        time_reduction_layer_type="conv1d",
        cnn_module_kernel=31,
        cnn_norm_type="layer_norm",
        adaptive_scale=True,
        activation_type="swish",
        normalize_before=False,
        concat_after=False,
        static_chunk_size=0,
        global_cmvn=False,
    )


@pytest.mark.oracle
@pytest.mark.parametrize("encoder", ["conformer", "transformer", "squeezeformer"])
def test_every_field_of_paddlespeech_is_known(tmp_path: Path, encoder: str) -> None:
    import inspect
    import os

    os.environ["PIP_NO_INDEX"] = "1"
    pytest.importorskip("paddlespeech")
    from paddlespeech.s2t.modules import encoder as upstream

    kind = getattr(upstream, f"{encoder.capitalize()}Encoder")
    fields = {
        name: parameter.default
        for name, parameter in inspect.signature(kind.__init__).parameters.items()
        if name not in ("self", "input_size", "global_cmvn")
    }
    assert encoder_of(tmp_path, encoder, **fields) == encoder_of(tmp_path, encoder)


@pytest.mark.parametrize("name", [name for name in VARIANTS if not name.startswith("decoder")])
def test_every_variant_is_read(tmp_path: Path, name: str) -> None:
    spec = VARIANTS[name]
    conf = dataclasses.asdict(spec.encoder)
    bins, global_cmvn = conf.pop("input_dim"), conf.pop("global_cmvn")
    if spec.encoder_type == "conformer" and not conf["cnn_module_kernel"]:
        conf |= {"use_cnn_module": False, "cnn_module_kernel": 15}
    if spec.encoder_type == "squeezeformer":
        conf |= {key: list(conf[key]) or None for key in ("reduce_idx", "recover_idx")}
    found = encoder_of(tmp_path, spec.encoder_type, **conf)
    assert dataclasses.replace(found, input_dim=bins, global_cmvn=global_cmvn) == spec.encoder


@pytest.mark.parametrize(
    ("conf", "reduce_idx", "recover_idx"),
    [
        ({"reduce_idx": 3}, (3,), (11,)),
        ({"reduce_idx": [2, 4], "recover_idx": [6, 8]}, (2, 4), (6, 8)),
        ({"recover_idx": None}, (5,), ()),
        # Without reduction, nothing is recovered.
        ({"reduce_idx": None}, (), ()),
    ],
)
def test_where_a_squeezeformer_reduces(
    tmp_path: Path, conf: dict[str, Any], reduce_idx: tuple[int, ...], recover_idx: tuple[int, ...]
) -> None:
    found = encoder_of(tmp_path, "squeezeformer", **conf)
    assert isinstance(found, SqueezeformerSpec)
    assert (found.reduce_idx, found.recover_idx) == (reduce_idx, recover_idx)


def test_dynamic_chunks_overrule_static_ones(tmp_path: Path) -> None:
    found = encoder_of(tmp_path, "transformer", static_chunk_size=16, use_dynamic_chunk=True)
    assert found.static_chunk_size == 0
    assert encoder_of(tmp_path, "transformer", static_chunk_size=16).static_chunk_size == 16


@pytest.mark.parametrize(
    ("encoder", "conf", "code", "says"),
    [
        ("transformer", {"max_len": 5000}, "config-unknown-field", "encoder_conf.max_len"),
        ("transformer", {"activation_type": "swish"}, "config-unknown-field", "activation_type"),
        ("transformer", {"pos_enc_layer_type": "scaled_abs_pos"}, "unsupported-model", "abs_pos"),
        ("squeezeformer", {"linear_units": 2048}, "config-unknown-field", "linear_units"),
        ("squeezeformer", {"input_layer": "conv2d"}, "config-unknown-field", "input_layer"),
        ("squeezeformer", {"pos_enc_layer_type": "no_pos"}, "unsupported-model", "'no_pos'"),
        ("squeezeformer", {"time_reduction_layer_type": "conv3d"}, "unsupported-model", "conv1d"),
        ("squeezeformer", {"cnn_module_kernel": 8}, "config-value", "must be odd"),
        ("squeezeformer", {"encoder_dim": 128, "pos_enc_layer_type": "abs_pos"},
         "unsupported-model", "encoder_dim of 128 and an output_size of 256 fails in PaddleSpeech"),
        ("squeezeformer", {"encoder_dim": 12, "pos_enc_layer_type": "rope_pos"},
         "unsupported-model", "heads of 3 have no pairs"),
        ("squeezeformer", {"encoder_dim": 15, "attention_heads": 3}, "config-value", "even"),
        ("squeezeformer", {"encoder_dim": 64, "attention_heads": 3}, "config-value", "divide"),
        ("squeezeformer", {"reduce_idx": "five"}, "config-type", "reduce_idx is 'five'"),
        ("squeezeformer", {"reduce_idx": [4, 2], "recover_idx": [6, 8]}, "config-value",
         "not ascending"),
        ("squeezeformer", {"reduce_idx": [2, 4]}, "config-value", "1 blocks to recover at and 2"),
        ("squeezeformer", {"reduce_idx": 5, "recover_idx": 2}, "unsupported-model",
         "no reduced frames for block 2"),
        ("squeezeformer", {"reduce_idx": [0, 4], "recover_idx": [2, 6],
                           "time_reduction_layer_type": "conv2d"},
         "unsupported-model", "cannot reduce by conv2d after a recovery"),
    ],
)  # fmt: skip
def test_refused(tmp_path: Path, encoder: str, conf: dict[str, Any], code: str, says: str) -> None:
    with pytest.raises(AsrpackError) as caught:
        spec_of(tmp_path, encoder, **conf)
    error = caught.value
    assert not isinstance(error, ErrorGroup), error.errors
    assert (error.code, error.exit_code) == (code, 3)
    assert says in error.message
    assert (error.place or "").startswith(f"{tmp_path / 'model.yaml'}:")
    assert error.remedy


@pytest.mark.parametrize("encoder", ["transformer", "squeezeformer"])
def test_a_whole_directory(tmp_path: Path, encoder: str) -> None:
    config = configuration(blocks=2, size=16, heads=2, units=24, decoder_blocks=1, vocabulary=20)
    config["encoder"] = encoder
    config["encoder_conf"] = {"output_size": 16, "num_blocks": 2}
    if encoder == "squeezeformer":
        config["encoder_conf"] |= {"encoder_dim": 16, "reduce_idx": 1, "recover_idx": None}
    write_model(tmp_path / "model", config)
    assert encoder in recognise(tmp_path / "model").reason
    description, parameters = read(tmp_path / "model")
    # Reduced and not recovered: one frame for eight, and half as many as the table has rows.
    expected = (8, 6, 2500) if encoder == "squeezeformer" else (4, 6, 5000)
    assert (description.subsampling, description.right_context, description.max_frames) == expected
    assert U2Spec.from_dict(description.network).encoder_type == encoder
    assert any(name.startswith("encoder.encoders.1.") for name in parameters)


def test_a_transformer_without_a_table_takes_any_length(tmp_path: Path) -> None:
    found = encoder_of(tmp_path, "transformer", pos_enc_layer_type="no_pos")
    assert found.max_frames is None
