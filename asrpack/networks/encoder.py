"""Conformer and transformer encoders, over whole recordings or chunk by chunk.

After PaddleSpeech 1.5.0's ``encoder.py``.
"""

from __future__ import annotations

import paddle
from paddle import nn

from asrpack.networks.conformer import ConformerBlock
from asrpack.networks.encoder_spec import ConformerSpec, TransformerEncoderSpec
from asrpack.networks.history import History, visible_bias
from asrpack.networks.masks import full_context_bias
from asrpack.networks.modules import GlobalCmvn, PositionalEncoding, layer_norm, valid_frames
from asrpack.networks.subsampling import input_layer
from asrpack.networks.transformer import TransformerBlock


class Encoder(nn.Layer):
    """Features to hidden states.

    Every frame sees the whole utterance (or whole chunks of it); or its chunk and the history.
    """

    def __init__(self, spec: ConformerSpec | TransformerEncoderSpec) -> None:
        super().__init__()
        size = spec.output_size
        self.normalize_before = spec.normalize_before
        self.chunk_size = spec.static_chunk_size
        self.adds_positions = spec.pos_enc_layer_type == "abs_pos"
        self.scores_positions = spec.pos_enc_layer_type == "rel_pos"
        self.global_cmvn = GlobalCmvn(spec.input_dim) if spec.global_cmvn else nn.Identity()
        self.embed = input_layer(spec.subsampling, spec.input_dim, size)
        # Without an encoding PaddleSpeech does not scale the input either.
        encoded = spec.pos_enc_layer_type != "no_pos"
        self.positions = PositionalEncoding(size, spec.max_len) if encoded else None
        blocks: list[nn.Layer] = [
            ConformerBlock(spec) if isinstance(spec, ConformerSpec) else TransformerBlock(spec)
            for _ in range(spec.num_blocks)
        ]
        self.encoders = nn.LayerList(blocks)
        self.after_norm = layer_norm(size)

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
        x, positions = self.embed(self.global_cmvn(feats)), None
        if self.positions is not None:
            x, positions = self.positions(x)
        if self.adds_positions:
            x = x + positions
        frames = valid_frames(x, out_lens)
        bias = full_context_bias(frames, self.chunk_size)
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
        x = self.embed(self.global_cmvn(feats))
        cached = paddle.arange(-att_cache.shape[3], 0, dtype="int64")
        steps = paddle.arange(x.shape[1], dtype="int64")
        positions = None
        if self.positions is not None:
            places = paddle.concat([cached, steps]) if self.scores_positions else steps
            positions = self.positions.at(offset.unsqueeze(1) + places.unsqueeze(0))
            x = x * self.positions.scale
        if self.adds_positions:
            x = x + positions
        frames = valid_frames(x, out_lens)
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
