"""DeepSpeech2 (arXiv 1512.02595), traceable; after PaddleSpeech 1.5.0's ``s2t/models/ds2``.

Parameter names are PaddleSpeech's.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import paddle
from paddle import nn

from asrpack.networks.deepspeech2_spec import CHANNELS, SUBSAMPLING, DeepSpeech2Spec, aliases
from asrpack.networks.parameters import load
from asrpack.networks.subsampling import subsampled_lengths
from asrpack.networks.u2 import CtcHead

States = tuple[paddle.Tensor, ...]


class Convolutions(nn.Layer):
    """(B, T, input_dim) to (B, T', flat_size), T' = T / 4, without padding."""

    def __init__(self, spec: DeepSpeech2Spec) -> None:
        super().__init__()
        self.flat = spec.flat_size
        stack: list[nn.Layer] = []
        for index, (kernel, stride) in enumerate(SUBSAMPLING.layers):
            channels = 1 if index == 0 else CHANNELS
            convolution = nn.Conv2D(
                in_channels=channels, out_channels=CHANNELS, kernel_size=kernel, stride=stride
            )
            stack += [convolution, nn.ReLU()]
        self.conv = nn.Sequential(*stack)
        # Never called: PaddleSpeech's network has these parameters and does not use them.
        self.out = nn.Sequential(nn.Linear(in_features=self.flat, out_features=CHANNELS))

    def forward(self, feats: paddle.Tensor) -> paddle.Tensor:
        """Maps (B, T, input_dim) to (B, T', flat_size)."""
        return self.conv(feats.unsqueeze(1)).transpose([0, 2, 1, 3]).reshape([0, 0, self.flat])


class CrnnEncoder(nn.Layer):
    """Convolutions, recurrent layers with a layer norm each, fully connected layers."""

    def __init__(self, spec: DeepSpeech2Spec) -> None:
        super().__init__()
        recurrent = nn.GRU if spec.use_gru else nn.LSTM
        self.gru = spec.use_gru
        self.conv = Convolutions(spec)
        self.rnn = nn.LayerList()
        self.layernorm_list = nn.LayerList()
        size = spec.flat_size
        for _ in range(spec.num_rnn_layers):
            self.rnn.append(
                recurrent(
                    input_size=size, hidden_size=spec.rnn_layer_size, direction=spec.rnn_direction
                )
            )
            size = spec.rnn_output_size
            self.layernorm_list.append(nn.LayerNorm(normalized_shape=size))
        self.fc_layers_list = nn.LayerList()
        for out in spec.fc_layers_size_list:
            self.fc_layers_list.append(nn.Linear(in_features=size, out_features=out))
            size = out

    def forward(
        self, feats: paddle.Tensor, feat_lens: paddle.Tensor, states: States | None = None
    ) -> tuple[paddle.Tensor, paddle.Tensor, States]:
        """Encodes a padded batch.

        Args:
            feats: (B, T, input_dim) float32; what lies past ``feat_lens`` does not matter.
            feat_lens: (B,) int64.
            states: of LSTM layers ``h`` and ``c``, of GRU layers ``h`` alone, (layers, B, size)
                each; None starts from zeros.

        Returns:
            Hidden states (B, T', output_size), their lengths (B,) int64, and the states, where
            there were any, after the last valid frame of each row.
        """
        out_lens = subsampled_lengths(SUBSAMPLING.layers, feat_lens)
        x = self.conv(feats)
        last = []
        for index, layer in enumerate(self.rnn):
            initial = None
            if states is not None:
                # Slices by constants: paddle2onnx cannot split what has an unknown size.
                given = tuple(state[index : index + 1] for state in states)
                initial = given[0] if self.gru else given
            x, final = layer(x, initial, out_lens)
            last.append((final,) if self.gru else final)
            x = self.layernorm_list[index](x)
        for layer in self.fc_layers_list:
            x = nn.functional.relu(layer(x))
        if states is None:
            return x, out_lens, ()
        ends = []
        # A row without a frame keeps its state; ONNX Runtime's operators would give zeros. Products
        # with ones and zeros are exact, and a broadcast `where` exports as a dozen nodes.
        moved = (out_lens > 0).astype("float32").reshape([1, -1, 1])
        for index, state in enumerate(states):
            end = paddle.concat([final[index] for final in last], axis=0)
            ends.append(end * moved + state * (1.0 - moved))
        return x, out_lens, tuple(ends)


class DeepSpeech2(nn.Layer):
    """All parameters of PaddleSpeech's ``DeepSpeech2Model``, by the same names."""

    def __init__(self, spec: DeepSpeech2Spec) -> None:
        super().__init__()
        self.encoder = CrnnEncoder(spec)
        self.decoder = CtcHead(spec.output_size, spec.vocab_size)


class EncoderGraph(nn.Layer):
    """What ``encoder.onnx`` computes where the model does not stream."""

    def __init__(self, model: DeepSpeech2) -> None:
        super().__init__()
        self.encoder = model.encoder
        self.ctc = model.decoder

    def forward(
        self, feats: paddle.Tensor, feat_lens: paddle.Tensor
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Features (B, T, D) and lengths (B,) to ctc_log_probs, out_lens."""
        x, out_lens, _ = self.encoder(feats, feat_lens)
        return self.ctc(x), out_lens


class StreamingEncoderGraph(nn.Layer):
    """What ``encoder.onnx`` computes where the model streams: a chunk, or a whole recording."""

    def __init__(self, model: DeepSpeech2) -> None:
        super().__init__()
        self.encoder = model.encoder
        self.ctc = model.decoder

    def forward(
        self,
        feats: paddle.Tensor,
        feat_lens: paddle.Tensor,
        h: paddle.Tensor,
        c: paddle.Tensor | None = None,
    ) -> tuple[paddle.Tensor, ...]:
        """ctc_log_probs, out_lens, next_h and, of LSTM layers, next_c."""
        states = (h,) if c is None else (h, c)
        x, out_lens, ends = self.encoder(feats, feat_lens, states)
        return self.ctc(x), out_lens, *ends


def build(spec: DeepSpeech2Spec, parameters: Mapping[str, np.ndarray]) -> DeepSpeech2:
    """The network with these parameters, set for evaluation.

    Args:
        spec: hyper-parameters.
        parameters: exactly the names and shapes of
            :func:`asrpack.networks.deepspeech2_spec.expected_parameters`; float32.

    Raises:
        ValueError: a name or shape is off (a frontend has checked that before).
    """
    # A guard of its own makes the names in exported files the same, whatever was built before.
    with paddle.utils.unique_name.guard():
        model = DeepSpeech2(spec)
    again = {alias: parameters[name] for alias, name in aliases(spec).items() if name in parameters}
    load(model, {**parameters, **again})
    return model
