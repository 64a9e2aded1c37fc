"""What every measurement opens and hears."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from asrpack.errors import UsageError
from asrpack.runtime.bench.job import Job
from asrpack.runtime.keyring import identity_source, trust_paths
from asrpack.runtime.load import OpenBundle, open_bundle
from asrpack.runtime.recordings import find_recordings


def open_for(job: Job, reached: Callable[[str], None] = lambda phase: None) -> OpenBundle:
    """The job's bundle."""
    return open_bundle(
        Path(job.bundle),
        identity_source(job.identity),
        trust_paths([Path(item) for item in job.trust]),
        licence=None if job.licence is None else Path(job.licence),
        threads=job.threads,
        decode=job.decode,
        one_method=True,
        reached=reached,
    )


def sources(job: Job, opened: OpenBundle) -> Sequence[Callable[[], Path | BinaryIO]]:
    """What opens each of the job's recordings anew.

    Raises:
        UsageError: none was given, and the bundle has none of its own.
        InputError: a folder has none.
    """
    if job.audio:
        given, _ = find_recordings([Path(item) for item in job.audio])
        return [lambda path=item.path: path for item in given]  # type: ignore[misc]
    if opened.golden is None:
        raise UsageError(
            "no audio was given, and the bundle has no golden utterances",
            code="bench-audio",
            remedy="give recordings with --audio",
        )
    from asrpack.runtime.golden import Golden

    golden = Golden.from_json(opened.golden).utterances
    return [lambda data=item.audio: io.BytesIO(data) for item in golden]  # type: ignore[misc]
