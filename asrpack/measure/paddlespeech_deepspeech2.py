"""PaddleSpeech's own ``DeepSpeech2Model``: outputs, and texts by the best path.

Its beam search lives in ``paddlespeech_ctcdecoders``, which has no wheel for Python 3.11 and later.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrpack.measure.paddlespeech import DEFAULT, Options, Outputs, PaddleSpeech, building
from asrpack.runtime.decoding import ctc_greedy_search


class PaddleSpeechDeepSpeech2(PaddleSpeech):
    """A DeepSpeech2 model as PaddleSpeech runs it."""

    methods = ("ctc_greedy_search",)

    def __init__(
        self, model: Path, config: Any, versions: Mapping[str, str], checkpoint: Path
    ) -> None:
        super().__init__(model, config, versions)
        with building(model):
            from paddlespeech.s2t.models.ds2 import DeepSpeech2Model

            self._blank = int(config.blank_id)
            self._model = DeepSpeech2Model.from_config(config)
            self._model.set_state_dict(self._paddle.load(str(checkpoint)))
            self._model.eval()

    def outputs(self, features: NDArray[np.float32], options: Options = DEFAULT) -> Outputs:
        """CTC log-probabilities of one utterance, shape (T, D)."""
        audio, length = self._batch(features)
        encoder = self._model.encoder
        with self._paddle.no_grad():
            if options.chunk_size > 0:
                chunks, lengths, _, _ = encoder.forward_chunk_by_chunk(
                    audio, length, options.chunk_size
                )
                encoded = self._paddle.concat(chunks, axis=1)
                frames = sum(int(item[0]) for item in lengths)
            else:
                encoded, lengths, _, _ = encoder(audio, length)
                frames = int(lengths[0])
            probabilities = self._model.decoder.log_softmax(encoded)
        return Outputs(probabilities[0, :frames].numpy())

    def decode(self, features: NDArray[np.float32], method: str, options: Options = DEFAULT) -> str:
        """Text by the best path (``ctc_greedy_decoding``); features of shape (T, D)."""
        units, _ = ctc_greedy_search(self.outputs(features, options).ctc_log_probs, self._blank)
        # Not defeaturize(), which stops at <eos>: PaddleSpeech's CTC decoders print it.
        return str(self._text.detokenize([self._text.vocab_list[unit] for unit in units]))
