"""Transformer decoder over hypotheses, after PaddleSpeech 1.5.0's ``decoder.py``."""

from __future__ import annotations

import paddle
from paddle import nn

from asrpack.networks.attention import MultiHeadedAttention
from asrpack.networks.masks import score_bias
from asrpack.networks.modules import FeedForward, PositionalEncoding, layer_norm
from asrpack.networks.u2_spec import DecoderSpec


class DecoderBlock(nn.Layer):
    """Self-attention, attention to the encoder, feed-forward, each with a residual."""

    def __init__(self, spec: DecoderSpec, size: int) -> None:
        super().__init__()
        self.normalize_before = spec.normalize_before
        self.concat_after = spec.concat_after
        self.self_attn = MultiHeadedAttention(spec.attention_heads, size)
        self.src_attn = MultiHeadedAttention(spec.attention_heads, size)
        # PaddleSpeech's decoder always uses ReLU, whatever the encoder does.
        self.feed_forward = FeedForward(size, spec.linear_units, "relu")
        self.norm1 = layer_norm(size)
        self.norm2 = layer_norm(size)
        self.norm3 = layer_norm(size)
        self.concat_linear1 = nn.Linear(in_features=2 * size, out_features=size)
        self.concat_linear2 = nn.Linear(in_features=2 * size, out_features=size)

    def forward(
        self,
        x: paddle.Tensor,
        skip: int | paddle.Tensor,
        bias: paddle.Tensor,
        memory: paddle.Tensor,
    ) -> paddle.Tensor:
        """One block over the last M of (N, L, size): (N, M, size).

        Args:
            x: (N, L, size).
            skip: L - M: positions that are only looked at.
            bias: added to the scores of self-attention (M, L).
            memory: encoder states (1, T', size), all of them frames.
        """
        y = self.norm1(x) if self.normalize_before else x
        new = y[:, skip:]
        seen = self.self_attn(new, y, bias)
        if self.concat_after:
            seen = self.concat_linear1(paddle.concat([new, seen], axis=-1))
        x = x[:, skip:] + seen
        x = x if self.normalize_before else self.norm1(x)

        y = self.norm2(x) if self.normalize_before else x
        seen = self.src_attn(y, memory)
        if self.concat_after:
            seen = self.concat_linear2(paddle.concat([y, seen], axis=-1))
        x = x + seen
        x = x if self.normalize_before else self.norm2(x)

        y = self.norm3(x) if self.normalize_before else x
        x = x + self.feed_forward(y)
        return x if self.normalize_before else self.norm3(x)


class TransformerDecoder(nn.Layer):
    """Scores the next token after every prefix of given hypotheses."""

    def __init__(self, spec: DecoderSpec, blocks: int, size: int, vocab_size: int) -> None:
        super().__init__()
        self.normalize_before = spec.normalize_before
        # A Sequential of one, for the name that PaddleSpeech gives the table: embed.0.weight.
        self.embed = nn.Sequential(nn.Embedding(num_embeddings=vocab_size, embedding_dim=size))
        self.positions = PositionalEncoding(size, spec.max_len)
        self.decoders = nn.LayerList([DecoderBlock(spec, size) for _ in range(blocks)])
        self.after_norm = layer_norm(size)
        self.output_layer = nn.Linear(in_features=size, out_features=vocab_size)

    def forward(
        self,
        encoder_out: paddle.Tensor,
        hyps_in: paddle.Tensor,
        ancestors: paddle.Tensor,
        cache: paddle.Tensor | None = None,
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Logits over the vocabulary, after prefixes of hypotheses of one utterance.

        A row of ``hyps_in`` is one hypothesis, or a tree of them, which stand for a prefix that
        they have in common by one column.

        Args:
            encoder_out: (1, T', size) float32.
            hyps_in: (N, L) int64, sos first.
            ancestors: (L, L) int64, of every row: 1 where the token of a column is in the prefix
                that ends with the token of a row, itself too, which no later one is; else 0. Of
                one hypothesis, the lower triangle.
            cache: (blocks, N, C, size) float32: what every block gave for the first C columns.
                None for C = 0.

        Returns:
            Of the other M = L - C columns: logits (N, M, vocab_size) float32 of what follows their
            prefixes, and what every block gave (blocks, N, M, size), as ``forward_one_step``
            upstream has it.
        """
        skip = 0 if cache is None else cache.shape[2]
        x = self.embed(hyps_in) * self.positions.scale
        x = x + self.positions.at(ancestors.sum(axis=-1) - 1)
        bias = score_bias(ancestors[skip:] > 0)
        # Unbound, not indexed: Paddle Inference loses an axis of an empty cache otherwise.
        before = [None] * len(self.decoders) if cache is None else paddle.unbind(cache)
        outputs = []
        for block, seen in zip(self.decoders, before):  # noqa: B905 (to_static knows no strict)
            outputs.append(block(x, skip, bias, encoder_out))
            x = outputs[-1] if seen is None else paddle.concat([seen, outputs[-1]], axis=1)
        last = self.after_norm(outputs[-1]) if self.normalize_before else outputs[-1]
        return self.output_layer(last), paddle.stack(outputs)


class BiTransformerDecoder(nn.Layer):
    """The two decoders of U2++ (arXiv 2106.05642); each is a graph of its own.

    The right one is fed each hypothesis from its end: sos, the units in reverse, eos as padding
    (``st_reverse_pad_list``). Row j of its scores is of the token before the last j: of a
    hypothesis w of n units, the score of w[i] is at row n - 1 - i, and that of eos (what stands
    before the first) at row n.
    """

    def __init__(self, spec: DecoderSpec, size: int, vocab_size: int) -> None:
        super().__init__()
        self.left_decoder = TransformerDecoder(spec, spec.num_blocks, size, vocab_size)
        self.right_decoder = TransformerDecoder(spec, spec.r_num_blocks, size, vocab_size)


def transformer_decoder(spec: DecoderSpec, size: int, vocab_size: int) -> nn.Layer:
    """The decoder that a specification describes."""
    if spec.r_num_blocks:
        return BiTransformerDecoder(spec, size, vocab_size)
    return TransformerDecoder(spec, spec.num_blocks, size, vocab_size)
