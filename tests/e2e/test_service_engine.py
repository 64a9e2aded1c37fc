"""A batched result equals the unbatched one, on what really ships."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrpack.bundle.secrets import SecretSource
from asrpack.runtime.audio import read_audio
from asrpack.runtime.load import open_bundle
from asrpack.runtime.service.engine import THREADS_PER_GRAPH, Engine
from tests.e2e.conftest import METHODS, RECIPE, Workshop
from tests.runtime.service.in_process import assert_same

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e")]


# One scale for the activations of a run would let neighbours change int8's text.
@pytest.mark.parametrize(("build", "joined"), [("cpu", False), ("fp32", True)])
def test_every_text_and_score_is_that_of_the_recording_alone(
    workshop: Workshop, build: str, joined: bool
) -> None:
    if not workshop.artifact(build).is_dir():
        workshop.build(f"--build={build}")
    bundle, identity = workshop.artifact(build) / "bundle", workshop.keys / "acme.key"
    recognizer = open_bundle(
        bundle, SecretSource("file", str(identity)), threads=THREADS_PER_GRAPH
    ).recognizer
    recordings = [
        read_audio(path, 16000)
        for folder, pattern in (("test", "*.flac"), ("human", "*.wav"))
        for path in sorted(Path(RECIPE.parent / "data" / folder).glob(pattern))[:20]
    ]
    assert len({len(samples) for samples in recordings}) > 10
    sizes: list[int] = []
    engine = Engine(recognizer, on_batch=lambda size, *_: sizes.append(size))
    assert engine.joined is joined
    for method in METHODS:
        futures = [engine.submit(samples, method) for samples in recordings * 3]
        for samples, future in zip(recordings * 3, futures, strict=True):
            assert_same(future.result().hypothesis, recognizer.transcribe(samples, method))
    engine.close()
    assert (max(sizes) > 1) is joined
