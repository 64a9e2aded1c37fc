"""What attention may look at, as numbers added to its scores.

PaddleSpeech masks with ``masked_fill(-inf)`` and branches on shapes; here it is :data:`MASKED`
where nothing may be looked at, which leaves exactly 0 after the softmax in float32 and float16.
"""

from __future__ import annotations

import paddle

MASKED = -1e4


def score_bias(visible: paddle.Tensor) -> paddle.Tensor:
    """0 where ``visible`` (bool, any shape) is true, :data:`MASKED` elsewhere; float32."""
    return (1.0 - visible.astype("float32")) * MASKED


def full_context_bias(frames: paddle.Tensor, chunk_size: int = 0, stride: int = 1) -> paddle.Tensor:
    """The bias of an encoder that is given whole utterances.

    Args:
        frames: which are no padding, bool (B, T).
        chunk_size: where it is not 0, no frame sees past its own chunk of that many.
        stride: frames that one of these stands for, in the count of ``chunk_size``.

    Returns:
        (B, 1, 1, T), or (B, 1, T, T) with chunks.
    """
    if not chunk_size:
        return score_bias(frames).unsqueeze([1, 2])
    steps = paddle.arange(frames.shape[1], dtype="int64") * stride
    ends = (steps // chunk_size + 1) * chunk_size
    chunks = steps.unsqueeze(0) < ends.unsqueeze(1)
    return score_bias(paddle.logical_and(frames.unsqueeze(1), chunks.unsqueeze(0))).unsqueeze(1)
