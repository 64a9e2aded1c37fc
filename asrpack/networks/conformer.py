"""Conformer encoder, traceable, over whole recordings or chunks.

After PaddleSpeech 1.5.0's ``encoder.py``.

Parameter names are PaddleSpeech's. Dropout is left out: this network is only evaluated.
"""

from __future__ import annotations

import paddle
from paddle import nn

from asrpack.networks.attention import (
    MultiHeadedAttention,
    RelPositionMultiHeadedAttention,
    score_bias,
)
from asrpack.networks.history import History, visible_bias
from asrpack.networks.modules import FeedForward, PositionalEncoding, activate, layer_norm
from asrpack.networks.subsampling import ConvolutionalSubsampling
from asrpack.networks.u2_spec import EncoderSpec


class GlobalCmvn(nn.Layer):
    """Mean and variance normalization that the network itself does."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", paddle.zeros(shape=[size]))
        self.register_buffer("istd", paddle.ones(shape=[size]))

    def forward(self, feats: paddle.Tensor) -> paddle.Tensor:
        """Normalizes (B, T, size)."""
        return (feats - self.mean) * self.istd


class ConvolutionModule(nn.Layer):
    """Pointwise, gated, depthwise, normalized, pointwise: (B, T, size) to (B, T, size)."""

    def __init__(self, spec: EncoderSpec) -> None:
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

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        size = spec.output_size
        self.normalize_before = spec.normalize_before
        self.concat_after = spec.concat_after
        self.macaron = spec.macaron_style
        self.convolves = spec.cnn_module_kernel > 0
        self.relative = spec.pos_enc_layer_type == "rel_pos"
        attention = RelPositionMultiHeadedAttention if self.relative else MultiHeadedAttention
        self.self_attn = attention(spec.attention_heads, size)
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
            positions: rows of the positional table (1 or B, C + T, size).
            bias: added to attention scores (B, 1, 1, C + T).
            valid: 1.0 on frames, 0.0 on padding (B, 1, T).
            history: of C frames, where the encoder streams.
        """
        if self.macaron:
            y = self.norm_ff_macaron(x) if self.normalize_before else x
            x = x + 0.5 * self.feed_forward_macaron(y)
            x = x if self.normalize_before else self.norm_ff_macaron(x)

        y = self.norm_mha(x) if self.normalize_before else x
        seen = self.self_attn(y, positions if self.relative else y, bias, history)
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


class ConformerEncoder(nn.Layer):
    """Features to hidden states: a frame sees the whole utterance, or its chunk and the history."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self.normalize_before = spec.normalize_before
        self.adds_positions = spec.pos_enc_layer_type == "abs_pos"
        self.global_cmvn = GlobalCmvn(spec.input_dim) if spec.global_cmvn else nn.Identity()
        self.embed = ConvolutionalSubsampling(spec)
        self.positions = PositionalEncoding(spec.output_size, spec.max_len)
        self.encoders = nn.LayerList([ConformerBlock(spec) for _ in range(spec.num_blocks)])
        self.after_norm = layer_norm(spec.output_size)

    def forward(
        self, feats: paddle.Tensor, feat_lens: paddle.Tensor
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Encodes a padded batch.

        Args:
            feats: (B, T, input_dim) float32; what lies past ``feat_lens`` does not matter.
            feat_lens: (B,) int64.

        Returns:
            Hidden states (B, T', output_size), and their lengths (B,) int64.
        """
        out_lens = self.embed.lengths(feat_lens)
        x, positions = self.positions(self.embed(self.global_cmvn(feats)))
        if self.adds_positions:
            x = x + positions
        frames = paddle.arange(x.shape[1], dtype="int64").unsqueeze(0) < out_lens.unsqueeze(1)
        bias = score_bias(frames).unsqueeze([1, 2])
        valid = frames.astype("float32").unsqueeze(1)
        for block in self.encoders:
            x = block(x, positions, bias, valid)
        return self.after_norm(x) if self.normalize_before else x, out_lens

    def forward_chunk(
        self,
        feats: paddle.Tensor,
        feat_lens: paddle.Tensor,
        offset: paddle.Tensor,
        cache_lens: paddle.Tensor,
        att_cache: paddle.Tensor,
        cnn_cache: paddle.Tensor | None,
    ) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor, paddle.Tensor | None]:
        """Encodes a chunk of every stream of a padded batch.

        Args:
            feats: (B, T, input_dim) float32; what lies past ``feat_lens`` does not matter.
            feat_lens: (B,) int64.
            offset: frames of each stream before this chunk (B,) int64.
            cache_lens: how many of them ``att_cache`` holds (B,) int64.
            att_cache: keys and values (blocks, B, heads, C, 2 * head_size), right-aligned.
            cnn_cache: what each convolution saw last (blocks, B, size, kernel - 1), or None
                where none looks back.

        Returns:
            Hidden states (B, T', output_size), their lengths (B,) int64, the keys and values of
            these frames (blocks, B, heads, T', 2 * head_size), and the next ``cnn_cache``.
        """
        out_lens = self.embed.lengths(feat_lens)
        x, _ = self.positions(self.embed(self.global_cmvn(feats)))
        cached = paddle.arange(-att_cache.shape[3], 0, dtype="int64")
        steps = paddle.arange(x.shape[1], dtype="int64")
        frames = steps.unsqueeze(0) < out_lens.unsqueeze(1)
        seen = steps if self.adds_positions else paddle.concat([cached, steps])
        positions = self.positions.rows(offset.unsqueeze(1) + seen.unsqueeze(0))
        if self.adds_positions:
            x = x + positions
        bias = visible_bias(cached, cache_lens, frames)
        valid = frames.astype("float32").unsqueeze(1)
        # Not indexed: where it has no elements, Paddle Inference would keep the axis.
        keys_values = paddle.unbind(att_cache)
        convolved = [None] * len(keys_values) if cnn_cache is None else paddle.unbind(cnn_cache)
        histories = []
        for index, block in enumerate(self.encoders):
            histories.append(History(keys_values[index], convolved[index], out_lens))
            x = block(x, positions, bias, valid, histories[-1])
        x = self.after_norm(x) if self.normalize_before else x
        next_att_cache = paddle.stack([history.next_keys_values for history in histories])
        if cnn_cache is None:
            return x, out_lens, next_att_cache, None
        next_cnn_cache = paddle.stack([history.next_convolved for history in histories])
        return x, out_lens, next_att_cache, next_cnn_cache
