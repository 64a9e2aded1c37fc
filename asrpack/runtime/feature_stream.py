"""The front end on samples that arrive piece by piece."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asrpack.runtime.front_end import FrontEnd


class FeatureStream:
    """Gives the frames of a recording as their samples arrive.

    Put together they equal the front end's on the whole recording, bit for bit, whatever the
    pieces. It holds less than a window of samples between calls.

    Args:
        front_end: without frames joined into one (low frame rate): no model that streams has them.
    """

    def __init__(self, front_end: FrontEnd) -> None:
        self._front_end = front_end
        self._samples = np.zeros(0, np.float32)

    def accept(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The frames that these samples complete.

        Args:
            samples: shape (n,), any n, on the int16 scale, at the model's rate.

        Returns:
            Shape (T, D), normalised; T may be 0. Where the graph takes samples: (n,).
        """
        self._samples = np.concatenate([self._samples, samples])
        feats = self._front_end(self._samples)
        # A copy: a view would keep the whole piece alive.
        self._samples = self._samples[len(feats) * self._front_end.shift :].copy()
        return feats
