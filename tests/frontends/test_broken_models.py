"""All the ways a model directory can be broken: each gives place, cause and remedy."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from asrpack.errors import AsrpackError, ErrorGroup
from asrpack.frontends.paddlespeech_u2 import read

WEIGHTS = "exp/conformer/checkpoints/avg_1.pdparams"
VOCABULARY = "data/lang_char/vocab.txt"
CMVN = "data/mean_std.json"


def config(**changes: Any) -> Callable[[Path], None]:
    """Sets fields of ``model.yaml``; ``a__b`` is field b of a, ... as a value removes it."""

    def change(model: Path) -> None:
        path = model / "model.yaml"
        values = YAML(typ="safe").load(path)
        for name, value in changes.items():
            *parents, last = name.split("__")
            section = values
            for parent in parents:
                section = section[int(parent) if parent.isdigit() else parent]
            if value is ...:
                del section[last]
            else:
                section[last] = value
        yaml = YAML(typ="safe")
        yaml.default_flow_style = False
        with path.open("w") as stream:
            yaml.dump(values, stream)

    return change


def text(name: str, content: str | bytes) -> Callable[[Path], None]:
    """Replaces a file."""
    data = content if isinstance(content, bytes) else content.encode()
    return lambda model: (model / name).write_bytes(data) and None


def gone(name: str) -> Callable[[Path], None]:
    """Removes a file."""
    return lambda model: (model / name).unlink()


def statistics(**changes: Any) -> Callable[[Path], None]:
    """Sets fields of the CMVN statistics."""

    def change(model: Path) -> None:
        path = model / CMVN
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def weights(edit: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Edits the checkpoint's parameters."""

    def change(model: Path) -> None:
        path = model / WEIGHTS
        state = pickle.loads(path.read_bytes())
        edit(state)
        path.write_bytes(pickle.dumps(state, protocol=4))

    return change


def cut(model: Path) -> None:
    """Cuts the checkpoint in half."""
    path = model / WEIGHTS
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


class Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch pwned",)


@dataclass
class Case:
    """A way to break a model, and what the error must say.

    Attributes:
        place: how the place ends, relative to the model directory.
    """

    name: str
    breaks: Callable[[Path], object]
    code: str
    place: str
    says: str


def nan(state: dict[str, Any]) -> None:
    state["encoder.after_norm.bias"][0] = np.nan


def rename(state: dict[str, Any]) -> None:
    state["encoder.after_norms.bias"] = state.pop("encoder.after_norm.bias")


CASES = [
    Case("no model.yaml", gone("model.yaml"), "model-config-missing", "", "no model.yaml"),
    Case("yaml broken", text("model.yaml", "a: [1,\nb: 2"), "yaml-invalid", "yaml:2:5", "YAML"),
    Case("yaml tabs", text("model.yaml", "a:\n\t- b"), "yaml-invalid", "yaml:2:1", "YAML"),
    Case("yaml list", text("model.yaml", "- 1\n- 2\n"), "yaml-invalid", "model.yaml", "a list"),
    Case("yaml empty", text("model.yaml", ""), "yaml-invalid", "model.yaml", "empty"),
    Case("yaml binary", text("model.yaml", b"\xff\xfe\x00"), "configuration-unreadable",
         "model.yaml", "UTF-8"),
    Case("yaml twice the same key", text("model.yaml", "encoder: conformer\nencoder: x\n"),
         "yaml-invalid", "yaml:2:1", "duplicate key"),
    Case("encoder lstm", config(encoder="lstm"), "unsupported-model",
         "model.yaml", "a U2 model with a lstm encoder"),
    Case("deepspeech2", text("model.yaml", "num_conv_layers: 2\nrnn_layer_size: 1024\n"),
         "unsupported-model", "model.yaml:1:1", "DeepSpeech2"),
    Case("decoder bitransformer", config(decoder="bitransformer"), "config-missing-field",
         "model.yaml", "decoder_conf.r_num_blocks is missing"),
    Case("decoder rnn", config(decoder="rnn"), "unsupported-model", "model.yaml",
         "decoder is 'rnn'"),
    Case("input layer", config(encoder_conf__input_layer="embed"), "unsupported-model",
         "model.yaml", "encoder_conf.input_layer is 'embed'"),
    Case("positions", config(encoder_conf__pos_enc_layer_type="no_pos"), "unsupported-model",
         "model.yaml", "encoder_conf.pos_enc_layer_type is 'no_pos'"),
    Case("odd heads turned", config(encoder_conf__pos_enc_layer_type="rope_pos",
                                    encoder_conf__attention_heads=16), "unsupported-model",
         "model.yaml", "heads of 1 have no pairs"),
    Case("odd size", config(encoder_conf__output_size=15, encoder_conf__attention_heads=3,
                            decoder_conf__attention_heads=3), "config-value",
         "model.yaml", "output_size is 15: positional tables"),
    Case("activation", config(encoder_conf__activation_type="swich"), "unsupported-model",
         "model.yaml", "did you mean 'swish'"),
    Case("static chunks without the past",
         config(encoder_conf__static_chunk_size=16, decode__num_decoding_left_chunks=4),
         "unsupported-model", "model.yaml", "num_decoding_left_chunks is 4"),
    Case("activation that halves", config(encoder_conf__activation_type="glu"),
         "unsupported-model", "model.yaml", "encoder_conf.activation_type is 'glu'"),
    Case("no output layer", config(decoder_conf__use_output_layer=False), "unsupported-model",
         "model.yaml", "no output layer"),
    Case("size is text", config(encoder_conf__output_size="abc"), "config-type",
         "model.yaml", "encoder_conf.output_size is 'abc', not a whole number"),
    Case("size is true", config(encoder_conf__output_size=True), "config-type",
         "model.yaml", "encoder_conf.output_size is True"),
    Case("blocks negative", config(encoder_conf__num_blocks=-1), "config-type",
         "model.yaml", "encoder_conf.num_blocks is -1"),
    Case("causal is a number", config(encoder_conf__causal=3), "config-type",
         "model.yaml", "encoder_conf.causal is 3, not true or false"),
    Case("encoder_conf is a list", config(encoder_conf=[1]), "config-type",
         "model.yaml", "encoder_conf is a list"),
    Case("heads", config(encoder_conf__attention_heads=3), "config-value",
         "model.yaml", "3 attention heads do not divide"),
    Case("even kernel", config(encoder_conf__cnn_module_kernel=8), "config-value",
         "model.yaml", "must be odd"),
    Case("misspelt field", config(encoder_conf__linear_unit=8), "config-unknown-field",
         "model.yaml", "did you mean 'linear_units'"),
    Case("output_dim missing", config(output_dim=...), "config-missing-field",
         "model.yaml", "output_dim is missing"),
    Case("input_dim too small", config(input_dim=4), "config-value", "model.yaml", "too small"),
    Case("beam size", config(decode__beam_size="ten"), "config-type",
         "model.yaml", "decode.beam_size is 'ten'"),
    Case("decoding method", config(decode__decoding_method="ctc_beam_search"),
         "unsupported-model", "model.yaml", "'ctc_beam_search'"),
    Case("units", config(unit_type="bpe"), "unsupported-units", "model.yaml", "'bpe'"),
    Case("vocabulary missing", gone(VOCABULARY), "vocabulary-unreadable", VOCABULARY, "No such"),
    Case("vocabulary empty", text(VOCABULARY, ""), "vocabulary-empty", VOCABULARY, "empty"),
    Case("vocabulary short", text(VOCABULARY, "<blank>\na\n<eos>\n"), "vocabulary-size",
         VOCABULARY, "3 units, but the network has output_dim 20"),
    Case("vocabulary unset", config(vocab_filepath=""), "vocabulary-missing",
         "model.yaml", "neither a path nor a list"),
    Case("vocabulary order",
         text(VOCABULARY, "\n".join(["<eos>", *"abcdefghijklmnopqr", "<blank>"])),
         "vocabulary-order", VOCABULARY, "'<eos>', not '<blank>'"),
    Case("vocabulary of numbers", config(vocab_filepath=["<blank>", 1]), "vocabulary-malformed",
         "model.yaml", "unit 1 of the vocabulary is of type int: 1"),
    Case("CMVN missing", gone(CMVN), "CMVN-unreadable", CMVN, "No such"),
    Case("CMVN not JSON", text(CMVN, "{mean"), "cmvn-malformed", CMVN, "not JSON"),
    Case("CMVN a list", text(CMVN, "[1, 2]"), "cmvn-malformed", CMVN, "a list"),
    Case("CMVN without frames", text(CMVN, '{"mean_stat": [], "var_stat": []}'), "cmvn-malformed",
         CMVN, "no frame_num"),
    Case("CMVN of 0 frames", statistics(frame_num=0), "cmvn-malformed", CMVN, "count 0 frames"),
    Case("CMVN of 40 bins", statistics(mean_stat=[1.0] * 40), "cmvn-malformed",
         CMVN, "mean_stat of 40, but there are 80 bins"),
    Case("CMVN of text", statistics(mean_stat=["x"] * 80), "cmvn-malformed", CMVN, "not a number"),
    Case("CMVN variance", statistics(var_stat=[0.0] * 80), "cmvn-malformed", CMVN, "negative"),
    Case("CMVN NaN", statistics(mean_stat=[float("nan")] * 80), "cmvn-malformed", CMVN, "finite"),
    Case("bins differ", config(preprocess_config__process__0__n_mels=40), "front-end-size",
         "model.yaml", "40 bins"),
    Case("unknown step", config(preprocess_config__process__1__type="delta"),
         "unsupported-front-end", "model.yaml", "step 2 is 'delta'"),
    Case("spectrogram", config(preprocess_config__process__0__type="spectrogram"),
         "unsupported-front-end", "model.yaml", "step 1 is 'spectrogram'"),
    Case("fbank option", config(preprocess_config__process__0__window="hamming"),
         "config-unknown-field", "model.yaml", "window"),
    Case("no front end", config(preprocess_config=...), "front-end-missing", "model.yaml",
         "preprocess_config.process is empty"),
    Case("front end's file", config(preprocess_config="conf/preprocess.yaml"),
         "configuration-unreadable", "conf/preprocess.yaml", "No such"),
    Case("no weights", gone(WEIGHTS), "weights-missing", "", "no weights"),
    Case("0-byte weights", text(WEIGHTS, b""), "weights-empty", WEIGHTS, "0 bytes"),
    Case("cut weights", cut, "weights-damaged", WEIGHTS, "damaged"),
    Case("evil weights", weights(lambda state: state.update(x=Evil())), "weights-unsafe",
         WEIGHTS, "posix.system"),
    Case("missing parameter", weights(lambda state: state.pop("ctc.ctc_lo.bias")),
         "parameter-missing", WEIGHTS, "missing from the checkpoint (1): ctc"),
    Case("extra parameter", weights(lambda state: state.update(x=np.zeros(3, np.float32))),
         "parameter-extra", WEIGHTS, ": x"),
    Case("shape", weights(lambda state: state.update({"ctc.ctc_lo.bias": np.zeros(7, np.float32)})),
         "parameter-shape", WEIGHTS, "ctc.ctc_lo.bias is 7, not 20"),
    Case("NaN", weights(nan), "parameter-not-finite", WEIGHTS, "encoder.after_norm.bias"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_error_has_place_cause_and_remedy(case: Case, model: Path) -> None:
    case.breaks(model)
    with pytest.raises(AsrpackError) as caught:
        read(model)
    error = caught.value
    assert error.code == case.code, str(error)
    assert error.exit_code == 3
    place = error.place or ""
    assert place.startswith(str(model))
    if case.place:
        assert case.place in place
    assert case.says in error.message
    assert error.remedy


def test_a_renamed_parameter_is_missing_and_left_over(model: Path) -> None:
    weights(rename)(model)
    with pytest.raises(ErrorGroup) as caught:
        read(model)
    missing, extra = caught.value.errors
    assert "(did you mean 'encoder.after_norms.bias'?)" in missing.message
    assert "(did you mean 'encoder.after_norm.bias'?)" in extra.message


def test_all_errors_at_once(model: Path) -> None:
    gone(VOCABULARY)(model)
    statistics(frame_num=0)(model)
    config(decode__beam_size=0)(model)
    weights(nan)(model)
    with pytest.raises(ErrorGroup) as caught:
        read(model)
    codes = [error.code for error in caught.value.errors]
    assert codes == [
        "vocabulary-unreadable",
        "cmvn-malformed",
        "config-type",
        "parameter-not-finite",
    ]


def test_errors_of_one_configuration_at_once(model: Path) -> None:
    config(encoder_conf__output_size="x", encoder_conf__foo=1, decoder_conf__num_blocks=0)(model)
    with pytest.raises(ErrorGroup) as caught:
        read(model)
    assert [error.code for error in caught.value.errors] == [
        "config-type",
        "config-unknown-field",
        "config-type",
    ]


def test_other_network_than_the_checkpoints_is_one_error_per_kind(model: Path) -> None:
    config(encoder_conf__num_blocks=3, encoder_conf__linear_units=32)(model)
    with pytest.raises(ErrorGroup) as caught:
        read(model)
    missing, shapes = caught.value.errors
    assert "missing from the checkpoint (39): " in missing.message
    assert missing.message.endswith("and 31 more")
    assert "is 16x24, not 16x32" in shapes.message


def test_place_is_the_line_and_column_of_the_field(model: Path) -> None:
    path = model / "model.yaml"
    config(encoder_conf__output_size="abc")(model)
    lines = path.read_text().splitlines()
    number = next(index for index, line in enumerate(lines, 1) if "output_size: abc" in line)
    column = lines[number - 1].index("output_size") + 1
    with pytest.raises(AsrpackError) as caught:
        read(model)
    assert caught.value.place == f"{path}:{number}:{column}"
