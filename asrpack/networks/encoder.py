"""Conformer and transformer encoders, full context; after PaddleSpeech 1.5.0's ``encoder.py``."""

from __future__ import annotations

import paddle
from paddle import nn

from asrpack.networks.attention import full_context_bias
from asrpack.networks.conformer import ConformerBlock
from asrpack.networks.encoder_spec import ConformerSpec, TransformerEncoderSpec
from asrpack.networks.modules import GlobalCmvn, PositionalEncoding, layer_norm, valid_frames
from asrpack.networks.subsampling import input_layer
from asrpack.networks.transformer import TransformerBlock


class Encoder(nn.Layer):
    """Features to hidden states, every frame seeing the whole utterance (or whole chunks of it)."""

    def __init__(self, spec: ConformerSpec | TransformerEncoderSpec) -> None:
        super().__init__()
        size = spec.output_size
        self.normalize_before = spec.normalize_before
        self.chunk_size = spec.static_chunk_size
        self.adds_positions = spec.pos_enc_layer_type == "abs_pos"
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
