"""Hyper-parameters of a DeepSpeech2 model, and the parameters that follow from them.

Free of Paddle, so that a frontend can hold a checkpoint against its configuration in no time.
``tests/networks/test_deepspeech2_spec.py`` holds :func:`expected_parameters` to be what the
network has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from asrpack.errors import InputError
from asrpack.networks.parameter_shapes import Shape, linear, norm, under
from asrpack.networks.subsampling_spec import SUBSAMPLINGS

# The convolutions are those of a conformer's ``conv2d``. Their number is fixed: PaddleSpeech has
# a field ``num_conv_layers`` and does not read it.
SUBSAMPLING = SUBSAMPLINGS["conv2d"]
CHANNELS = 32
FORWARD, BIDIRECTIONAL = "forward", "bidirect"


@dataclass(frozen=True)
class CtcBeamSearch:
    """What the model was tuned to be decoded with; fields as PaddleSpeech's ``decode`` section.

    Attributes:
        lang_model_path: KenLM file, relative to PaddleSpeech's own folder of language models;
            empty for none.
        alpha: weight of the language model.
        beta: bonus for each unit (of a word model: each word).
        cutoff_prob: of a frame, only the likeliest units that together reach it are tried.
        cutoff_top_n: and of these at most so many.
    """

    lang_model_path: str = ""
    alpha: float = 0.0
    beta: float = 0.0
    beam_size: int = 10
    cutoff_prob: float = 1.0
    cutoff_top_n: int = 40


@dataclass(frozen=True)
class DeepSpeech2Spec:
    """Convolutions, recurrent and fully connected layers and a CTC head over one vocabulary.

    Fields as in PaddleSpeech's ``model.yaml``.

    Attributes:
        rnn_direction: ``forward`` (the model streams) or ``bidirect``.
        use_gru: GRU layers in place of LSTM.
        fc_layers_size_list: sizes of the layers between the last recurrent one and the CTC head.
    """

    vocab_size: int
    input_dim: int
    num_rnn_layers: int
    rnn_layer_size: int
    rnn_direction: str
    use_gru: bool
    fc_layers_size_list: tuple[int, ...] = ()
    search: CtcBeamSearch = field(default_factory=CtcBeamSearch)

    @property
    def bidirectional(self) -> bool:
        return self.rnn_direction == BIDIRECTIONAL

    @property
    def rnn_output_size(self) -> int:
        """Numbers per frame that a recurrent layer gives: of both directions, where there are."""
        return self.rnn_layer_size * (2 if self.bidirectional else 1)

    @property
    def output_size(self) -> int:
        """Numbers per frame that the CTC head takes."""
        return (self.rnn_output_size, *self.fc_layers_size_list)[-1]

    @property
    def flat_size(self) -> int:
        """Numbers per frame that the first recurrent layer takes."""
        return CHANNELS * SUBSAMPLING.length(self.input_dim)

    def to_dict(self) -> dict[str, Any]:
        """As it is kept in ``ModelDescription.network``."""
        # A list: what JSON gives back is the same.
        return {**asdict(self), "fc_layers_size_list": list(self.fc_layers_size_list)}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> DeepSpeech2Spec:
        """Reads what :meth:`to_dict` gave.

        Raises:
            InputError: fields missing or unknown.
        """
        try:
            search = CtcBeamSearch(**raw["search"])
            sizes = tuple(raw["fc_layers_size_list"])
            return cls(**{**raw, "search": search, "fc_layers_size_list": sizes})
        except (KeyError, TypeError) as error:
            raise InputError(
                f"the network's hyper-parameters cannot be read: {error}",
                code="model-description",
                place="model.json",
                remedy="run the import stage again with this version of asrpack",
            ) from error


def expected_parameters(spec: DeepSpeech2Spec) -> dict[str, Shape]:
    """Name and shape of every parameter of PaddleSpeech's ``DeepSpeech2Model``.

    Linear weights are (in, out), convolution weights (out, in, kernel…) and recurrent weights
    (gates * size, in), as Paddle keeps them. ``encoder.conv.out`` is never used; PaddleSpeech's
    network inherits it.
    """
    names: dict[str, Shape] = {}
    for index, (kernel, _) in enumerate(SUBSAMPLING.layers):
        channels = 1 if index == 0 else CHANNELS
        # Activations sit between the convolutions, hence every second number.
        names[f"encoder.conv.conv.{2 * index}.weight"] = (CHANNELS, channels, kernel, kernel)
        names[f"encoder.conv.conv.{2 * index}.bias"] = (CHANNELS,)
    names |= under("encoder.conv.out.0", linear(spec.flat_size, CHANNELS))
    size = spec.flat_size
    for index in range(spec.num_rnn_layers):
        names |= _recurrent(f"encoder.rnn.{index}", spec, size)
        size = spec.rnn_output_size
        names |= under(f"encoder.layernorm_list.{index}", norm(size))
    for index, out in enumerate(spec.fc_layers_size_list):
        names |= under(f"encoder.fc_layers_list.{index}", linear(size, out))
        size = out
    return names | under("decoder.ctc_lo", linear(size, spec.vocab_size))


def aliases(spec: DeepSpeech2Spec) -> dict[str, str]:
    """Second names of recurrent parameters, each with its first.

    Paddle registers them with the layer and with its cell: a checkpoint holds all of them twice.
    """
    names = {}
    for index in range(spec.num_rnn_layers):
        layer = f"encoder.rnn.{index}"
        for cell, direction in _cells(spec):
            for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                names[f"{layer}.0.{cell}.{kind}"] = f"{layer}.{kind}_l0{direction}"
    return names


def _cells(spec: DeepSpeech2Spec) -> tuple[tuple[str, str], ...]:
    """Each direction's cell, and what its parameters' names end with."""
    if spec.bidirectional:
        return ("cell_fw", ""), ("cell_bw", "_reverse")
    return (("cell", ""),)


def _recurrent(layer: str, spec: DeepSpeech2Spec, size: int) -> dict[str, Shape]:
    gates = (3 if spec.use_gru else 4) * spec.rnn_layer_size
    names: dict[str, Shape] = {}
    for _, direction in _cells(spec):
        names[f"{layer}.weight_ih_l0{direction}"] = (gates, size)
        names[f"{layer}.weight_hh_l0{direction}"] = (gates, spec.rnn_layer_size)
        names[f"{layer}.bias_ih_l0{direction}"] = (gates,)
        names[f"{layer}.bias_hh_l0{direction}"] = (gates,)
    return names
