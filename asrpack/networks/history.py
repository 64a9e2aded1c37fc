"""What a block of a streaming encoder sees of the chunks before.

After ``forward_chunk`` of PaddleSpeech 1.5.0's ``encoder.py`` and the caches of its
``attention.py`` and ``conformer_convolution.py``. PaddleSpeech gives the whole history back with
every chunk and branches on whether there is one; here a block gives what is new, and no history
is one of length 0.
"""

from __future__ import annotations

import paddle

from asrpack.networks.masks import score_bias


class History:
    """One block's history, and what the block adds to it.

    Args:
        keys_values: (B, heads, C, 2 * head_size), right-aligned.
        convolved: what the convolution saw last (B, size, kernel - 1); None where it looks at no
            earlier frame.
        frames: valid frames of this chunk (B,).

    Attributes:
        next_keys_values: of this chunk's frames (B, heads, T, 2 * head_size).
        next_convolved: as ``convolved``, for the next chunk.
    """

    def __init__(
        self, keys_values: paddle.Tensor, convolved: paddle.Tensor | None, frames: paddle.Tensor
    ) -> None:
        self._keys_values = keys_values
        self._convolved = convolved
        self._frames = frames
        self.next_keys_values: paddle.Tensor | None = None
        self.next_convolved: paddle.Tensor | None = None

    def extend(
        self, key: paddle.Tensor, value: paddle.Tensor
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Puts the earlier keys and values before these, (B, heads, T, head_size) each."""
        self.next_keys_values = paddle.concat([key, value], axis=-1)
        key_size = key.shape[-1]
        keys = paddle.concat([self._keys_values[..., :key_size], key], axis=2)
        values = paddle.concat([self._keys_values[..., key_size:], value], axis=2)
        return keys, values

    def pad(self, x: paddle.Tensor) -> paddle.Tensor:
        """Puts the frames that the convolution saw last before these (B, size, T)."""
        if self._convolved is None:
            return x
        x = paddle.concat([self._convolved, x], axis=2)
        # The last valid frames of each row, wherever they end. Picked by a product with zeros and
        # ones: exact, and free of indices of another shape for each batch.
        wanted = paddle.arange(self._convolved.shape[2], dtype="int64").unsqueeze(0)
        wanted = wanted + self._frames.unsqueeze(1)
        steps = paddle.arange(x.shape[2], dtype="int64")
        picks = steps.unsqueeze([0, 2]) == wanted.unsqueeze(1)
        self.next_convolved = paddle.matmul(x, picks.astype("float32"))
        return x


def visible_bias(
    cached: paddle.Tensor, cache_lens: paddle.Tensor, frames: paddle.Tensor
) -> paddle.Tensor:
    """What is added to the scores over a right-aligned history and a chunk.

    Args:
        cached: places of the history from its end, -C to -1 (C,).
        cache_lens: how many of them are valid (B,).
        frames: which of the chunk's frames are valid, bool (B, T).

    Returns:
        (B, 1, 1, C + T).
    """
    history = cached.unsqueeze(0) >= -cache_lens.unsqueeze(1)
    return score_bias(paddle.concat([history, frames], axis=1)).unsqueeze([1, 2])
