"""What ``asrpack run`` and a bundle's own command line do, behind their flags."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import asrpack
from asrpack.bundle.keys import recipient_private
from asrpack.bundle.opening import lock_of, read_sealed
from asrpack.errors import InputError, ToolchainError, UsageError
from asrpack.runtime.batch import share_cores, transcribe_all
from asrpack.runtime.console import Progress, say, summary
from asrpack.runtime.hotwords import read_hotwords
from asrpack.runtime.keyring import IDENTITY_VARIABLE, identity_source, pinned, read_trust
from asrpack.runtime.layout import choose_layout
from asrpack.runtime.licence import Lease
from asrpack.runtime.load import OpenBundle, open_bundle, warn_on_stderr
from asrpack.runtime.recordings import find_recordings
from asrpack.runtime.service.settings import Settings
from asrpack.runtime.streaming import StreamingRecognizer
from asrpack.runtime.transcripts import Wishes, stream_file, transcribe_file


def run(
    bundle: Path,
    audio: Sequence[Path],
    *,
    identity: str | None,
    trust: Sequence[Path] = (),
    licence: Path | None = None,
    decode: str | None = None,
    streaming: bool = False,
    hotwords: Path | None = None,
    nbest: int = 0,
    times: bool = False,
    form: str | None = None,
    as_json: bool = False,
    output: Path | None = None,
    overwrite: bool = False,
    threads: int = 0,
    workers: int = 0,
) -> int:
    """Transcribes recordings: to standard output, in their order, or each to a file of its own.

    One that cannot be read is reported on standard error and the others go on.

    Args:
        audio: files, folders, or ``-`` for standard input.
        licence: as for :func:`asrpack.runtime.load.open_bundle`.
        streaming: hear the files piece by piece, as from a microphone.
        hotwords: file of phrases to prefer (:func:`asrpack.runtime.hotwords.read_hotwords`).
        nbest: with JSON, so many hypotheses, too.
        times: with JSON, when each unit and word was spoken, too.
        form, as_json, output, overwrite: see :func:`asrpack.runtime.layout.choose_layout`.
        workers: recordings at a time; 0 and ``threads`` as for
            :func:`asrpack.runtime.batch.share_cores`.

    Returns:
        0, or 3 if a recording failed.

    Raises:
        AsrpackError: the bundle cannot be opened, its licence ended meanwhile, there is no such
            decoding method, the hotwords cannot be used, the model does not stream, there is no
            audio, or the layout does not fit it.
    """
    layout = choose_layout(form, as_json=as_json, folder=output, overwrite=overwrite)
    if (nbest or times) and (streaming or layout.form != "json"):
        raise UsageError(
            "n-best and times are told in JSON, of whole recordings",
            code="usage",
            remedy="give --json, and leave --streaming out",
        )
    recordings, others = find_recordings(audio)
    layout.check(recordings)
    workers, threads = share_cores(len(recordings), workers, threads)
    opened = _open(bundle, identity, trust, licence, threads, decode=decode, one_method=True)
    recognizer = opened.recognizer
    wishes = Wishes(
        opened.description.decode.method,
        None if hotwords is None else read_hotwords(hotwords, opened.description),
        nbest,
        times or (layout.needs_times and not streaming),
    )
    recognizer.search(wishes.method, wishes.hotwords)  # refuses what does not go together
    streams = StreamingRecognizer(recognizer) if streaming else None
    options = {
        "asrpack": asrpack.__version__,
        "bundle": opened.metadata.bundle_id,
        "decode": wishes.method,
        "streaming": streaming,
        "hotwords": None if hotwords is None else hashlib.sha256(hotwords.read_bytes()).hexdigest(),
        "nbest": nbest,
        "times": times,
    }
    progress = Progress(line=layout.folder is not None or not sys.stdout.isatty())
    with layout.open(recordings, options) as claim:
        tally = transcribe_all(
            recordings,
            lambda path: (
                transcribe_file(recognizer, path, wishes)
                if streams is None
                else stream_file(streams, path, wishes)
            ),
            claim,
            workers=min(workers, recognizer.places or workers),
            fail=progress.fail,
            tell=progress.tell,
            stop=wishes.stop,
        )
    progress.clear()
    if layout.folder is not None:
        passed = f"; {others} other files passed over" if others else ""
        say(f"asrpack: {summary(tally)}{passed}", error=True)
    return InputError.exit_code if tally.failed else 0


def serve(
    bundle: Path,
    settings: Settings,
    *,
    identity: str | None,
    trust: Sequence[Path] = (),
    licence: Path | None = None,
) -> int:
    """As :func:`asrpack.runtime.service.serve.serve`, with what it needs installed or not.

    Raises:
        ToolchainError: what HTTP needs is not installed.
    """
    try:
        from asrpack.runtime.service.serve import serve as serve_bundle
    except ImportError as error:
        raise ToolchainError(
            f"what serves over HTTP cannot be imported: {error}",
            code="serve-missing",
            remedy="install what the bundle's requirements.txt names, or asrpack[serve]",
        ) from error
    return serve_bundle(bundle, settings, identity=identity, trust=trust, licence=licence)


def selftest(
    bundle: Path,
    *,
    identity: str | None,
    trust: Sequence[Path] = (),
    licence: Path | None = None,
    threads: int = 0,
) -> int:
    """:func:`try_out`, told on standard output; returns 0."""
    tried = try_out(bundle, identity=identity, trust=trust, licence=licence, threads=threads)
    opened = tried.opened
    about, methods = opened.metadata, ", ".join(opened.description.methods)
    on = opened.recognizer.provider
    say(f"ok: {about.name} {about.version} ({about.build}): {methods} on {on}{tried.same}")
    return 0


@dataclass(frozen=True)
class Tried:
    """A bundle that works here. ``texts``: so many are as the vendor recorded them."""

    opened: OpenBundle
    texts: int

    @property
    def same(self) -> str:
        """The texts in words; empty where the vendor recorded none."""
        return f"; {self.texts} texts as the vendor recorded them" if self.texts else ""


def try_out(
    bundle: Path,
    *,
    identity: str | None,
    trust: Sequence[Path] = (),
    licence: Path | None = None,
    threads: int = 0,
) -> Tried:
    """Verifies, decrypts, loads, and runs every decoding method on a second of tone, and a stream.

    And the vendor's golden utterances, where there are any.

    Raises:
        AsrpackError: any of these failed.
        ToolchainError: a golden utterance has another text here.
    """
    opened = _open(bundle, identity, trust, licence, threads)
    recognizer = opened.recognizer
    rate = opened.description.sample_rate
    tone = (3000 * np.sin(2 * np.pi * 440 / rate * np.arange(rate))).astype(np.float32)
    encoded = recognizer.encode(recognizer.features(tone))
    for method in opened.description.methods:
        recognizer.decode(encoded, method)
    if opened.description.streaming is not None:
        stream = StreamingRecognizer(recognizer).stream()
        stream.accept(tone)
        stream.finish()
    return Tried(opened, _compare_golden(opened))


def _compare_golden(opened: OpenBundle) -> int:
    """How many texts the vendor recorded; all are the same here."""
    if opened.golden is None:
        return 0
    from asrpack.runtime.golden import Golden

    golden = Golden.from_json(opened.golden)
    count = sum(len(item.texts) for item in golden.utterances)
    differences = list(golden.differences(opened.recognizer))
    if not differences:
        return count
    told = "; ".join(
        f"utterance {item.number} by {item.method}: {item.here!r}, recorded {item.recorded!r}"
        for item in differences
    )
    raise ToolchainError(
        f"{len(differences)} of {count} texts are not what the vendor recorded on {golden.host}: "
        + told,
        code="golden-differs",
        place="this host's CPU",
        remedy="ask the vendor whether this is near enough, or for a build for this CPU: int8 "
        "without VNNI needs `quantize: {cpu: avx2}`, and fp32 differs least",
    )


def check_licence(
    bundle: Path,
    *,
    identity: str | None,
    trust: Sequence[Path] = (),
    licence: Path | None = None,
) -> Lease:
    """The licence that a bundle would be used under here and now; decrypts and changes nothing.

    Args:
        identity: None, where ``ASRPACK_IDENTITY`` is not set either: the recipient and what this
            host remembers are not looked at.

    Raises:
        AsrpackError: there is none, or the bundle is refused.
        UsageError: the bundle is for this identity without a licence.
    """
    key = None
    if identity or os.environ.get(IDENTITY_VARIABLE):
        source = identity_source(identity)
        key = recipient_private(source.read(), str(source))
    locked = lock_of(read_sealed(bundle, read_trust(pinned(trust, warn_on_stderr))), key)
    if locked is None:
        raise UsageError(
            "the bundle is for this key without a licence",
            code="license-needless",
            place=str(bundle),
            remedy="run it; or check with the private key that the licence is for",
        )
    lease = Lease(licence, bundle, warn_on_stderr, remember=False)
    lease.unlock(locked)
    return lease


def _open(
    bundle: Path,
    identity: str | None,
    trust: Sequence[Path],
    licence: Path | None,
    threads: int,
    *,
    decode: str | None = None,
    one_method: bool = False,
) -> OpenBundle:
    return open_bundle(
        bundle,
        identity_source(identity),
        pinned(trust, warn_on_stderr),
        licence=licence,
        threads=threads,
        decode=decode,
        one_method=one_method,
    )
