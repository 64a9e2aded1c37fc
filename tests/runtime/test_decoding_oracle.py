"""PaddleSpeech's own searches on random posteriors and a tiny decoder, without an encoder."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from functools import partial
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from asrpack.runtime.decoding import (
    PrefixBeamSearch,
    attention_rescoring,
    attention_search,
    bidirectional_rescoring,
    ctc_align,
    ctc_greedy_search,
    unit_times,
)
from asrpack.runtime.decoding.hypotheses import padded
from tests.runtime.test_ctc import log_softmax, posteriors

pytestmark = pytest.mark.oracle
UNITS, HIDDEN, FRAMES, LAST = 12, 8, 25, 11


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A U2 model of PaddleSpeech whose encoder gives what the test puts in ``encoded``."""
    pytest.importorskip("paddlespeech")
    before = os.getcwd()  # noqa: PTH109
    os.chdir(tmp_path_factory.mktemp("paddlespeech"))
    os.environ["PIP_NO_INDEX"] = "1"
    try:
        import paddle
        from paddlespeech.s2t.models.u2.u2 import U2BaseModel
        from paddlespeech.s2t.modules.decoder import BiTransformerDecoder
    finally:
        os.chdir(before)

    class Model(U2BaseModel):
        def __init__(self) -> None:
            paddle.nn.Layer.__init__(self)
            paddle.seed(0)
            self.sos = self.eos = LAST
            self.speech = paddle.zeros([1, 1])  # never looked at
            self.ignore_id = -1
            self.decoder = BiTransformerDecoder(
                UNITS, HIDDEN, attention_heads=2, linear_units=8, num_blocks=1, r_num_blocks=1
            )
            for parameter in self.decoder.parameters():
                parameter.set_value(paddle.randn(parameter.shape) * 0.7)
            self.ctc = SimpleNamespace(log_softmax=lambda _: self.log_probs, blank_id=0)
            self.eval()

        def _forward_encoder(self, *_: Any) -> Any:
            return self.encoder_out, paddle.ones([1, 1, self.encoder_out.shape[1]], dtype="bool")

        def put(self, log_probs: np.ndarray, seed: int) -> None:
            paddle.seed(seed)
            self.log_probs = paddle.to_tensor(log_probs[None])
            self.encoder_out = paddle.randn([1, len(log_probs), HIDDEN])

        def prefixes(
            self, hypotheses: Sequence[tuple[int, ...]], right_to_left: bool = False
        ) -> tuple[np.ndarray, list[np.ndarray]]:
            if right_to_left:  # it turns them itself
                hypotheses = [units[::-1] for units in hypotheses]
            hyps, lens = padded(hypotheses, LAST, LAST, 0)
            given = (paddle.to_tensor(hyps), paddle.to_tensor(lens), self.encoder_out)
            log_probs = self.forward_attention_decoder(*given, float(right_to_left))[right_to_left]
            rows = np.arange(hyps.size).reshape(hyps.shape)
            places = [row[:size] for row, size in zip(rows, lens, strict=True)]
            return log_probs.numpy().reshape([hyps.size, -1]), places

        def step(self, hyps_in: np.ndarray, cache: Any) -> tuple[np.ndarray, Any]:
            count, length = hyps_in.shape
            memory = self.encoder_out.tile([count, 1, 1])
            seen = paddle.ones([count, 1, memory.shape[1]], dtype="bool")
            past = paddle.tril(paddle.ones([count, length, length])).astype("bool")
            log_probs, cache = self.decoder.forward_one_step(
                memory, seen, paddle.to_tensor(hyps_in), past, cache
            )
            return log_probs.numpy(), cache

    with paddle.no_grad():
        yield Model()


def nbest_of(log_probs: np.ndarray) -> PrefixBeamSearch:
    search = PrefixBeamSearch(10)
    search.advance(log_probs)
    return search


@pytest.mark.parametrize("seed", range(6))
def test_ctc_searches(upstream: Any, seed: int) -> None:
    log_probs = posteriors(seed, FRAMES, UNITS, 1.0 + seed / 2)
    upstream.put(log_probs, seed)
    nbest, _ = upstream._ctc_prefix_beam_search(upstream.speech, upstream.speech, 10)
    assert nbest_of(log_probs).nbest() == nbest
    greedy = upstream.ctc_greedy_search(upstream.speech, upstream.speech)[0]
    assert list(ctc_greedy_search(log_probs)[0]) == greedy


@pytest.mark.parametrize("reverse_weight", [0.0, 0.3])
@pytest.mark.parametrize("seed", range(4))
def test_attention_rescoring(upstream: Any, seed: int, reverse_weight: float) -> None:
    log_probs = posteriors(seed, FRAMES, UNITS, 1.0)
    upstream.put(log_probs, seed)
    expected = upstream.attention_rescoring(
        upstream.speech, upstream.speech, 10, ctc_weight=0.5, reverse_weight=reverse_weight
    )
    options: dict[str, Any] = {"ctc_weight": 0.5, "eos_id": LAST}
    nbest = nbest_of(log_probs).nbest()
    if reverse_weight:
        rescored = bidirectional_rescoring(
            nbest,
            upstream.prefixes,
            partial(upstream.prefixes, right_to_left=True),
            reverse_weight=reverse_weight,
            **options,
        )
    else:
        rescored = attention_rescoring(nbest, upstream.prefixes, **options)
    assert rescored[0][0] == expected
    assert len(rescored) == 10


@pytest.mark.parametrize("beam_size", [1, 3, 10])
@pytest.mark.parametrize("seed", range(3))
def test_attention_search(upstream: Any, seed: int, beam_size: int) -> None:
    frames = (8, FRAMES)[seed % 2]
    upstream.put(posteriors(seed, frames, UNITS, 1.0), seed)
    expected = upstream.recognize(upstream.speech, upstream.speech, beam_size)[0].tolist()
    found = attention_search(
        upstream.step,
        frames,
        beam_size=beam_size,
        sos_id=LAST,
        eos_id=LAST,
    )
    assert list(found[0][0]) == [*expected, LAST][: [*expected, LAST].index(LAST)]


@pytest.mark.parametrize("seed", range(4))
def test_forced_alignment(upstream: Any, seed: int) -> None:
    import paddle
    from paddlespeech.s2t.utils.ctc_utils import forced_align

    log_probs = posteriors(seed, 12, 6, 4.0)
    units, _ = ctc_greedy_search(log_probs)
    expected = forced_align(paddle.to_tensor(log_probs), np.array(units))
    alignment = ctc_align(log_probs, units)
    assert alignment is not None
    assert [0 if place < 0 else units[place] for place in alignment] == [int(u) for u in expected]


def test_times_of_the_online_server(upstream: Any) -> None:
    """The server's path is that of its beam search; where posteriors are clear, it is ours."""
    import paddle
    import paddlespeech

    # By its file: the server's package imports what no version of its needs still offers.
    file = Path(paddlespeech.__path__[0]) / "server/engine/asr/online/ctc_search.py"
    ctc_search = SourceFileLoader("ctc_search", str(file)).load_module()
    for seed in range(4):
        # Units last two frames and more.
        noise = np.random.default_rng(seed).normal(0, 0.3, (40, UNITS))
        log_probs = log_softmax(np.repeat(posteriors(seed, 20, UNITS, 12.0), 2, axis=0) + noise)
        server = ctc_search.CTCPrefixBeamSearch(SimpleNamespace(beam_size=10))
        for chunk in np.split(log_probs, [7, 21]):
            hyps = server.search(paddle.to_tensor(chunk), None)
        search = nbest_of(log_probs)
        assert [(units, score) for units, score, *_ in hyps] == search.nbest()
        _, _, blank_ending, unit_ending, _, times_b, times_nb = hyps[0]
        spikes = times_b if blank_ending > unit_ending else times_nb
        found = unit_times(log_probs, search.best(), frame_shift=0.04)
        midpoints = [(a + b) / 2 * 0.04 for a, b in itertools.pairwise(spikes)]
        assert [item.start for item in found] == pytest.approx([0.0, *midpoints])
        assert [item.end for item in found] == pytest.approx([*midpoints, 40 * 0.04])
