"""PaddleSpeech's own ``U2Model``: outputs, and texts by each of its decoding methods."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrpack.measure.paddlespeech import DEFAULT, Options, Outputs, PaddleSpeech, building


class PaddleSpeechU2(PaddleSpeech):
    """A U2 model as PaddleSpeech runs and decodes it."""

    methods = (
        "ctc_greedy_search",
        "ctc_prefix_beam_search",
        "attention",
        "attention_rescoring",
    )

    def __init__(
        self, model: Path, config: Any, versions: Mapping[str, str], checkpoint: Path
    ) -> None:
        super().__init__(model, config, versions)
        with building(model):
            from paddlespeech.s2t.models.u2 import U2Model

            self.decode_config = config.decode
            self._model = U2Model.from_config(config)
            self._model.set_state_dict(self._paddle.load(str(checkpoint)))
            self._model.eval()

    def outputs(self, features: NDArray[np.float32], options: Options = DEFAULT) -> Outputs:
        """Encoder output and CTC log-probabilities of one utterance, shape (T, D)."""
        with self._paddle.no_grad():
            encoder_out, _ = self._model._forward_encoder(
                *self._batch(features),
                options.chunk_size,
                options.left_chunks,
                options.chunk_size > 0,
            )
            log_probs = self._model.ctc.log_softmax(encoder_out)
        return Outputs(log_probs[0].numpy(), encoder_out[0].numpy())

    def decoder_log_probs(
        self,
        encoder_out: NDArray[np.float32],
        hyps_in: NDArray[np.int64],
        hyps_lens: NDArray[np.int64],
        *,
        right_to_left: bool = False,
    ) -> NDArray[np.float32]:
        """A decoder's log-probabilities, shape (N, L, V), for one utterance.

        Args:
            hyps_in: left to right in either case; PaddleSpeech turns them itself.
            right_to_left: the scores of the right-to-left decoder.
        """
        tensor = self._paddle.to_tensor
        with self._paddle.no_grad():
            both = self._model.forward_attention_decoder(
                tensor(hyps_in), tensor(hyps_lens), tensor(encoder_out[None]), float(right_to_left)
            )
        log_probs: NDArray[np.float32] = both[int(right_to_left)].numpy()
        return log_probs

    def decode(self, features: NDArray[np.float32], method: str, options: Options = DEFAULT) -> str:
        """Text by one of PaddleSpeech's methods; features of shape (T, D)."""
        config, beam, weight = self.decode_config, options.beam_size, options.ctc_weight
        texts, _ = self._model.decode(
            *self._batch(features),
            text_feature=self._text,
            decoding_method=method,
            beam_size=config.beam_size if beam is None else beam,
            ctc_weight=config.ctc_weight if weight is None else weight,
            decoding_chunk_size=options.chunk_size,
            num_decoding_left_chunks=options.left_chunks,
            simulate_streaming=options.chunk_size > 0,
            reverse_weight=options.reverse_weight,
        )
        return str(texts[0])
