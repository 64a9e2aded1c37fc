"""Conformer blocks, traceable; after PaddleSpeech 1.5.0's ``encoder_layer.py``.

Parameter names are PaddleSpeech's. Dropout is left out: this network is only evaluated.
"""

from __future__ import annotations

import paddle
from paddle import nn

from asrpack.networks.attention import self_attention
from asrpack.networks.encoder_spec import ConformerSpec
from asrpack.networks.history import History
from asrpack.networks.modules import FeedForward, activate, layer_norm


class ConvolutionModule(nn.Layer):
    """Pointwise, gated, depthwise, normalized, pointwise: (B, T, size) to (B, T, size)."""

    def __init__(self, spec: ConformerSpec) -> None:
        super().__init__()
        size, kernel = spec.output_size, spec.cnn_module_kernel
        self.activation = spec.activation_type
        self.causal = spec.causal
        self.normalizes_layers = spec.cnn_module_norm == "layer_norm"
        self.pointwise_conv1 = nn.Conv1D(in_channels=size, out_channels=2 * size, kernel_size=1)
        self.depthwise_conv = nn.Conv1D(
            in_channels=size,
            out_channels=size,
            kernel_size=kernel,
            padding=0 if spec.causal else (kernel - 1) // 2,
            groups=size,
        )
        self.register_buffer("left", paddle.zeros(shape=[1, 1, kernel - 1]), persistable=False)
        self.norm = (
            nn.LayerNorm(normalized_shape=size, epsilon=1e-5)
            if self.normalizes_layers
            else nn.BatchNorm1D(num_features=size, epsilon=1e-5)
        )
        self.pointwise_conv2 = nn.Conv1D(in_channels=size, out_channels=size, kernel_size=1)

    def forward(
        self, x: paddle.Tensor, valid: paddle.Tensor, history: History | None = None
    ) -> paddle.Tensor:
        """Convolves ``x`` (B, T, size); ``valid`` (B, 1, T) is 1.0 on frames, 0.0 on padding."""
        x = x.transpose([0, 2, 1]) * valid
        if self.causal and history is not None:
            x = history.pad(x)
        elif self.causal:
            # Padded before the gate, as PaddleSpeech does: what the depthwise convolution sees
            # on the left is the gated bias, not zero. A product and not a pad: of the pads that
            # Paddle 3.3 saves, paddle2onnx 2.1 reads the value from where there is none.
            x = paddle.concat([x[:, :, :1] * self.left, x], axis=2)
        x = nn.functional.glu(self.pointwise_conv1(x), axis=1)
        if not self.causal:
            # The bias has made padding non-zero again, and this convolution looks ahead.
            # PaddleSpeech lets it, so there a batch differs from its utterances alone.
            x = x * valid
        x = self.depthwise_conv(x)
        if self.normalizes_layers:
            x = self.norm(x.transpose([0, 2, 1])).transpose([0, 2, 1])
        else:
            x = self.norm(x)
        x = self.pointwise_conv2(activate(self.activation, x)) * valid
        return x.transpose([0, 2, 1])


class ConformerBlock(nn.Layer):
    """Half feed-forward, attention, convolution, half feed-forward, each with a residual."""

    def __init__(self, spec: ConformerSpec) -> None:
        super().__init__()
        size = spec.output_size
        self.normalize_before = spec.normalize_before
        self.concat_after = spec.concat_after
        self.macaron = spec.macaron_style
        self.convolves = spec.cnn_module_kernel > 0
        self.self_attn = self_attention(spec.pos_enc_layer_type, spec.attention_heads, size)
        self.norm_mha = layer_norm(size)
        self.feed_forward = FeedForward(size, spec.linear_units, spec.activation_type)
        self.norm_ff = layer_norm(size)
        if self.macaron:
            self.feed_forward_macaron = FeedForward(size, spec.linear_units, spec.activation_type)
            self.norm_ff_macaron = layer_norm(size)
        if self.convolves:
            self.conv_module = ConvolutionModule(spec)
            self.norm_conv = layer_norm(size)
            self.norm_final = layer_norm(size)
        if self.concat_after:
            self.concat_linear = nn.Linear(in_features=2 * size, out_features=size)

    def forward(
        self,
        x: paddle.Tensor,
        positions: paddle.Tensor,
        bias: paddle.Tensor,
        valid: paddle.Tensor,
        history: History | None = None,
    ) -> paddle.Tensor:
        """One block over (B, T, size).

        Args:
            x: (B, T, size).
            positions: rows of the positional table, as the attention takes them.
            bias: added to attention scores (B, 1, 1 or T, C + T).
            valid: 1.0 on frames, 0.0 on padding (B, 1, T).
            history: of C frames, where the encoder streams.
        """
        if self.macaron:
            y = self.norm_ff_macaron(x) if self.normalize_before else x
            x = x + 0.5 * self.feed_forward_macaron(y)
            x = x if self.normalize_before else self.norm_ff_macaron(x)

        y = self.norm_mha(x) if self.normalize_before else x
        seen = self.self_attn(y, positions, bias, history)
        if self.concat_after:
            seen = self.concat_linear(paddle.concat([y, seen], axis=-1))
        x = x + seen
        x = x if self.normalize_before else self.norm_mha(x)

        if self.convolves:
            y = self.norm_conv(x) if self.normalize_before else x
            x = x + self.conv_module(y, valid, history)
            x = x if self.normalize_before else self.norm_conv(x)

        y = self.norm_ff(x) if self.normalize_before else x
        x = x + (0.5 if self.macaron else 1.0) * self.feed_forward(y)
        x = x if self.normalize_before else self.norm_ff(x)
        return self.norm_final(x) if self.convolves else x
