"""Whether a graph gives each recording of a batch what it gives that recording alone.

Many do not. Dynamic int8 has one scale for all activations of a run, so a neighbour, or padding,
changes the numbers, and with them the text; other graphs do not mask what they pad. Nothing in a
graph's interface says so, so it is tried.
"""

from __future__ import annotations

import numpy as np

from asrpack.runtime.recognizer import Recognizer
from asrpack.runtime.search import Encoded

# Of log-probabilities: far more than rounding, far less than what changes a text.
_TOLERANCE = 1e-4
_SECONDS = (1.3, 0.7)


def joins(recognizer: Recognizer) -> bool:
    """Runs two recordings of noise, loud and soft, one by one and at once, and compares."""
    rng = np.random.default_rng(0)
    rate = recognizer.description.sample_rate
    feats = [
        recognizer.features(
            (loudness * rng.standard_normal(round(rate * seconds))).astype(np.float32)
        )
        for seconds, loudness in zip(_SECONDS, (3000, 30), strict=True)
    ]
    alone = [recognizer.encode(item) for item in feats]
    try:
        together = recognizer.encode_batch(feats)
    # Each engine raises what it likes for a graph that takes one recording at a time.
    except Exception:
        return False
    return all(map(_equal, alone, together))


def _equal(one: Encoded, other: Encoded) -> bool:
    pairs = [(one.ctc_log_probs, other.ctc_log_probs), (one.encoder_out, other.encoder_out)]
    return all(
        a is None
        or (b is not None and a.shape == b.shape and np.allclose(a, b, rtol=0, atol=_TOLERANCE))
        for a, b in pairs
    )
