"""What is read from a DeepSpeech2 directory, and what is refused."""

from __future__ import annotations

import dataclasses
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from asrpack.bundle.model import DecodeDefaults, FbankSpec, ModelDescription, State, Streaming
from asrpack.errors import AsrpackError, InputError
from asrpack.frontends import sources
from asrpack.frontends.paddlespeech_deepspeech2 import read, recognise
from asrpack.networks.deepspeech2_spec import CtcBeamSearch, DeepSpeech2Spec, expected_parameters
from asrpack.runtime.text import detokenize
from benchmarks.make_deepspeech2 import configuration, write_model
from benchmarks.tags import deepspeech2_tags

CHECKPOINT = "exp/deepspeech2/checkpoints/avg_1.pdparams"
Change = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def online(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small online model; not to be changed."""
    directory = tmp_path_factory.mktemp("online") / "model"
    write_model(directory, configuration(layers=2, size=6, vocabulary=20))
    return directory


@pytest.fixture
def model(online: Path, tmp_path: Path) -> Path:
    """A copy of it to change."""
    return Path(shutil.copytree(online, tmp_path / "model"))


def edit(model: Path, change: Change) -> None:
    """Changes ``model.yaml``."""
    path, yaml = model / "model.yaml", YAML(typ="safe")
    values = yaml.load(path)
    change(values)
    with path.open("w") as stream:
        yaml.dump(values, stream)


def edit_weights(model: Path, change: Change) -> None:
    """Changes the checkpoint."""
    state = pickle.loads((model / CHECKPOINT).read_bytes())
    change(state)
    (model / CHECKPOINT).write_bytes(pickle.dumps(state, protocol=4))


def spec(model: Path) -> DeepSpeech2Spec:
    return DeepSpeech2Spec.from_dict(read(model)[0].network)


def test_an_online_model(online: Path) -> None:
    description, parameters = read(online, streaming=True)
    assert description.family == "paddlespeech_deepspeech2"
    assert description.front_end == FbankSpec(num_mel_bins=161)
    assert description.cmvn is not None and len(description.cmvn.mean) == 161
    assert description.graphs == ("encoder",)
    assert (description.subsampling, description.right_context) == (4, 6)
    assert description.max_frames is None
    states = (State("h", (2, 1, 6)), State("c", (2, 1, 6)))
    assert description.streaming == Streaming(8, -1, states)
    assert description.decode == DecodeDefaults("ctc_prefix_beam_search", 500)
    assert DeepSpeech2Spec.from_dict(description.network) == DeepSpeech2Spec(
        vocab_size=20,
        input_dim=161,
        num_rnn_layers=2,
        rnn_layer_size=6,
        rnn_direction="forward",
        use_gru=False,
        search=CtcBeamSearch("zh_giga.no_cna_cmn.prune01244.klm", 1.9, 5.0, 500, 1.0, 40),
    )
    assert ModelDescription.from_json(description.to_json()) == description
    # Each parameter once, whatever the checkpoint has.
    expected = expected_parameters(DeepSpeech2Spec.from_dict(description.network))
    assert {name: value.shape for name, value in parameters.items()} == expected
    assert list(parameters) == sorted(parameters)
    assert {value.dtype for value in parameters.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("direction", ["bidirect", "bidirectional"])
def test_an_offline_model(tmp_path: Path, direction: str) -> None:
    config = configuration(
        layers=1, size=6, vocabulary=20, direction=direction, fully_connected=(5, 4), use_gru=True
    )
    written = write_model(tmp_path, config)
    assert read(tmp_path)[0].streaming is None
    with pytest.raises(InputError, match="run backwards") as caught:
        read(tmp_path, streaming=True)
    assert caught.value.code == "not-streaming"
    assert (written.rnn_direction, written.fc_layers_size_list) == ("bidirect", (5, 4))
    assert written.use_gru


def test_states_of_gru_layers(tmp_path: Path) -> None:
    write_model(tmp_path, configuration(layers=3, size=6, vocabulary=20, use_gru=True))
    about = read(tmp_path, streaming=True)[0].streaming
    assert about is not None and about.states == (State("h", (3, 1, 6)),)


def test_a_text_is_not_cut_short_at_eos(online: Path) -> None:
    """PaddleSpeech's CTC decoders know no end of sentence: it is a unit like any."""
    about = read(online)[0]
    assert about.tokens[-1] == "<eos>"
    text = detokenize((2, 19, 3), about.tokens, about.eos_id)
    assert text == about.tokens[2] + "<eos>" + about.tokens[3]


def test_greedy_decoding(model: Path) -> None:
    edit(model, lambda values: values["decode"].update(decoding_method="ctc_greedy"))
    assert read(model)[0].decode.method == "ctc_greedy_search"


def test_without_a_decode_section(model: Path) -> None:
    edit(model, lambda values: values.pop("decode"))
    assert read(model)[0].decode == DecodeDefaults("ctc_prefix_beam_search", 10)
    assert spec(model).search == CtcBeamSearch()


@pytest.mark.parametrize("count", [1, 2])
def test_only_so_many_sizes_as_layers_are_used(tmp_path: Path, count: int) -> None:
    """As PaddleSpeech does; its class has two sizes by default."""
    config = configuration(layers=1, size=6, vocabulary=20, fully_connected=(5, 4))
    written = write_model(tmp_path, {**config, "num_fc_layers": count})
    assert written.fc_layers_size_list == (5, 4)[:count]
    assert spec(tmp_path) == dataclasses.replace(written, search=spec(tmp_path).search)


def test_recognised(model: Path) -> None:
    found = recognise(model)
    assert found.family == "paddlespeech_deepspeech2"
    assert "DeepSpeech2" in found.reason
    assert found.streams
    assert found.files == (
        model / "model.yaml", model / "data/lang_char/vocab.txt", model / CHECKPOINT
    )  # fmt: skip


def test_it_is_told_from_other_families(online: Path, quickstart: Path) -> None:
    assert sources.recognise(online) == recognise(online)
    assert sources.read(online)[0] == read(online)[0]
    u2 = quickstart / "conformer_digits_cards"
    assert sources.recognise(u2).family == sources.read(u2)[0].family == "paddlespeech_u2"


def test_a_model_of_another_family(quickstart: Path) -> None:
    with pytest.raises(InputError, match="not a DeepSpeech2 model"):
        recognise(quickstart / "conformer_digits_cards")


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (lambda v: v.pop("num_rnn_layers"), "config-missing-field", "num_rnn_layers is missing"),
        (lambda v: v.update(rnn_layer_size="big"), "config-type", "rnn_layer_size is 'big'"),
        (lambda v: v.update(rnn_direction="back"), "unsupported-model", "'back'"),
        (lambda v: v.update(use_gru="maybe"), "config-type", "use_gru is 'maybe'"),
        (lambda v: v.update(blank_id=19), "config-value", "blank_id is not 0"),
        (lambda v: v.update(num_fc_layers=1), "config-type", "'-1,', not a list of 1 sizes"),
        (lambda v: v.update(input_dim=6), "config-value", "too small"),
        (lambda v: v.update(unit_type="spm"), "unsupported-units", "'spm'"),
        (lambda v: v.update(output_dim=21), "vocabulary-size", "20 units"),
        (lambda v: v.update(input_dim=80), "front-end-size", "161 bins"),
        (
            lambda v: v["decode"].update(decoding_method="attention"),
            "unsupported-model",
            "'attention'",
        ),
        (lambda v: v["decode"].update(cutoff_top_n=0), "config-type", "decode.cutoff_top_n is 0"),
        (lambda v: v["decode"].update(alpha=-1), "config-type", "decode.alpha is -1"),
        (lambda v: v.update(num_rnn_layers=3), "parameter-missing", "encoder.rnn.2."),
        (lambda v: v.update(num_rnn_layers=1), "parameter-extra", "encoder.rnn.1."),
        (lambda v: v.update(use_gru=True), "parameter-shape", "24x6, not 18x6"),
        (
            lambda v: v.update(rnn_direction="bidirect"),
            "parameter-missing",
            "encoder.rnn.0.weight_ih_l0_reverse",
        ),
    ],
)
def test_configurations_that_are_refused(model: Path, change: Change, code: str, says: str) -> None:
    edit(model, change)
    with pytest.raises(AsrpackError) as caught:
        read(model)
    errors = getattr(caught.value, "errors", [caught.value])
    found = [error for error in errors if error.code == code]
    assert any(says in error.message for error in found), caught.value
    for error in errors:
        assert error.place and error.remedy


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (lambda s: s.pop("encoder.conv.out.0.bias"), "parameter-missing", "conv.out.0.bias"),
        (lambda s: s.pop("encoder.rnn.1.0.cell.bias_hh"), "parameter-missing", "cell.bias_hh"),
        (lambda s: s.update(x=np.zeros(1, np.float32)), "parameter-extra", "x"),
        (
            lambda s: s.update({"encoder.rnn.0.0.cell.bias_ih": np.zeros(24, np.float32)}),
            "parameter-ambiguous",
            "encoder.rnn.0.bias_ih_l0",
        ),
    ],
)
def test_checkpoints_that_are_refused(model: Path, change: Change, code: str, says: str) -> None:
    edit_weights(model, change)
    with pytest.raises(InputError) as caught:
        read(model)
    assert caught.value.code == code
    assert says in caught.value.message


def test_everything_that_is_wrong_is_told_at_once(model: Path) -> None:
    edit(model, lambda v: v.update(rnn_direction="back", unit_type="word"))
    edit(model, lambda v: v["decode"].update(beam_size=0))
    with pytest.raises(AsrpackError) as caught:
        read(model)
    codes = [error.code for error in getattr(caught.value, "errors", [])]
    assert codes == ["unsupported-model", "config-type", "unsupported-units"]


@pytest.mark.parametrize("tag", deepspeech2_tags(), ids=lambda tag: tag.name)
def test_published_configurations(tag: Any, tmp_path: Path) -> None:
    """In a small size: the fields are what matters here."""
    written = write_model(tmp_path, tag.config | {"rnn_layer_size": 2, "output_dim": 20})
    assert recognise(tmp_path).streams is tag.streams
    assert read(tmp_path)[0].streaming is None
    if tag.streams:
        assert read(tmp_path, streaming=True)[0].streaming is not None
    assert written.num_rnn_layers == 5
