"""Cases: what a network answered, and holding other forms of it against that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from asrpack.bundle.model import FbankSpec, ModelDescription, State, Streaming
from asrpack.errors import ToolchainError
from asrpack.measure.cases import compare_cases, load_cases, make_cases, save_cases
from asrpack.networks.interface import GraphSpec, floats, integers

BINS, FACTOR, CONTEXT = 3, 2, 4
SPECS = (
    GraphSpec(
        "encoder",
        (floats("feats", "B", "T", BINS), integers("feat_lens", "B")),
        (floats("ctc_log_probs", "B", "U", BINS, length="out_lens"), integers("out_lens", "B")),
    ),
)
STREAMING = Streaming(
    16, -1, (State("history", (2, 1, 1, 0, BINS), grows=True), State("sum", (1, 1, BINS)))
)


def describe(streaming: Streaming | None = None) -> ModelDescription:
    return ModelDescription(
        family="test",
        front_end=FbankSpec(num_mel_bins=BINS),
        cmvn=None,
        tokens=("<blank>", "a", "<eos>"),
        graphs=("encoder",),
        subsampling=FACTOR,
        right_context=CONTEXT,
        max_frames=None,
        streaming=streaming,
    )


def probe() -> dict[str, np.ndarray]:
    feats = np.random.default_rng(0).standard_normal((2, 90, BINS)).astype(np.float32)
    return {"feats": feats, "feat_lens": np.array([50, 90])}


def network(graph: str, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every other frame without context on the right, plus the sum of all frames before."""
    frames = feed["feats"][:, : feed["feats"].shape[1] - CONTEXT : FACTOR]
    found = {"ctc_log_probs": frames, "out_lens": (feed["feat_lens"] - CONTEXT + 1) // FACTOR}
    if "sum" in feed:
        found["ctc_log_probs"] = frames + feed["sum"][0][:, None]
        found["next_sum"] = feed["sum"] + frames.sum(axis=1)[None]
        found["next_history"] = np.stack([frames, frames])[:, :, None]
    return found


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    cases = make_cases(describe(STREAMING), SPECS, probe(), network)
    save_cases(tmp_path / "a.npz", cases)
    save_cases(tmp_path / "b.npz", cases)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    loaded = load_cases(tmp_path / "a.npz")
    for before, after in zip(cases, loaded, strict=True):
        assert (before.graph, before.label) == (after.graph, after.label)
        for kind in ("feed", "expected", "lengths"):
            left, right = getattr(before, kind), getattr(after, kind)
            assert list(left) == list(right)
            for name, value in left.items():
                np.testing.assert_array_equal(value, right[name])


def test_a_whole_recording_starts_from_empty_states() -> None:
    whole = make_cases(describe(STREAMING), SPECS, probe(), network)[0]
    assert whole.label == ""
    assert whole.feed["history"].shape == (2, 2, 1, 0, BINS)
    assert whole.feed["sum"].shape == (1, 2, BINS)
    assert not whole.feed["sum"].any()
    assert whole.feed["offset"].tolist() == whole.feed["cache_lens"].tolist() == [0, 0]


def test_chunks_carry_their_states_and_cut_the_history() -> None:
    chunks = make_cases(describe(STREAMING), SPECS, probe(), network)[1:]
    assert [case.label for case in chunks] == ["chunk 1", "chunk 2", "chunk 3", "chunk 4"]
    # 8 frames each; two chunks of history at most.
    assert [case.feed["history"].shape[3] for case in chunks] == [0, 8, 16, 16]
    assert [int(case.feed["offset"][0]) for case in chunks] == [0, 8, 16, 24]
    assert [int(case.feed["cache_lens"][0]) for case in chunks] == [0, 8, 16, 16]
    longest = probe()["feats"][1]
    np.testing.assert_array_equal(chunks[1].feed["feats"][0], longest[16 : 16 + 7 * 2 + 5])
    np.testing.assert_allclose(
        chunks[2].feed["sum"][0, 0], longest[: 2 * 16 : FACTOR].sum(axis=0), rtol=1e-5
    )


def test_a_difference_names_step_chunk_and_output() -> None:
    cases = make_cases(describe(STREAMING), SPECS, probe(), network)

    def off(graph: str, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = network(graph, feed)
        if feed["offset"][0] == 16:
            found["next_sum"] = found["next_sum"] + 0.5
        return found

    assert all(item.largest == 0 for item in compare_cases("convert", cases, network))
    with pytest.raises(ToolchainError) as caught:
        compare_cases("convert", cases, off)
    assert caught.value.place.startswith("convert chunk 3: next_sum")


def test_padding_is_left_out() -> None:
    cases = make_cases(describe(), SPECS, probe(), network)

    def padded(graph: str, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = {name: value.copy() for name, value in network(graph, feed).items()}
        found["ctc_log_probs"][0, found["out_lens"][0] :] = np.nan
        return found

    assert compare_cases("convert", cases, padded)[0].largest == 0
