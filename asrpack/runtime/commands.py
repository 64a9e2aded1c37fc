"""What ``asrpack run`` and a bundle's own command line do, behind their flags."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrpack.bundle.keys import recipient_private
from asrpack.bundle.opening import lock_of, read_sealed
from asrpack.bundle.provider import CPU
from asrpack.errors import InputError, ToolchainError, UsageError
from asrpack.runtime.hotwords import read_hotwords
from asrpack.runtime.keyring import (
    IDENTITY_VARIABLE,
    TRUST_VARIABLE,
    identity_source,
    read_trust,
    trust_paths,
)
from asrpack.runtime.licence import Lease
from asrpack.runtime.load import OpenBundle, open_bundle, warn_on_stderr
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
    as_json: bool = False,
    threads: int = 0,
) -> int:
    """Transcribes files, one line each on standard output: ``AUDIO: text``, or JSON.

    A file that cannot be read is reported on standard error and the others go on.

    Args:
        licence: as for :func:`asrpack.runtime.load.open_bundle`.
        streaming: hear the files piece by piece, as from a microphone.
        hotwords: file of phrases to prefer (:func:`asrpack.runtime.hotwords.read_hotwords`).
        nbest: with JSON, so many hypotheses, too.
        times: with JSON, when each unit was spoken, too.

    Returns:
        0, or 3 if a file failed.

    Raises:
        AsrpackError: the bundle cannot be opened, its licence ended meanwhile, there is no such
            decoding method, the hotwords cannot be used, or the model does not stream.
    """
    if (nbest or times) and (streaming or not as_json):
        raise UsageError(
            "n-best and times are told in JSON, of whole recordings",
            code="usage",
            remedy="give --json, and leave --streaming out",
        )
    opened = _open(bundle, identity, trust, licence, threads)
    recognizer = opened.recognizer
    wishes = Wishes(
        recognizer.check_method(decode),
        None if hotwords is None else read_hotwords(hotwords, opened.description),
        nbest,
        times,
    )
    recognizer.search(wishes.method, wishes.hotwords)  # refuses what does not go together
    streams = StreamingRecognizer(recognizer) if streaming else None
    code = 0
    for path in audio:
        try:
            result = (
                transcribe_file(recognizer, path, wishes)
                if streams is None
                else stream_file(streams, path, wishes)
            )
        except InputError as error:
            _say(f"asrpack: {error}", error=True)
            code = error.exit_code
            continue
        if as_json:
            _say(json.dumps(result.as_dict(), ensure_ascii=False))
        else:
            _say(f"{result.audio}: {result.text}".rstrip())
    return code


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
    _say(f"ok: {about.name} {about.version} ({about.build}): {methods} on {on}{tried.same}")
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
    locked = lock_of(read_sealed(bundle, read_trust(_pinned(trust))), key)
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


def _pinned(trust: Sequence[Path]) -> list[Path]:
    pinned = trust_paths(trust)
    if not pinned:
        warn_on_stderr(
            "no vendor key is pinned, so who signed this bundle is not checked; "
            f"pin it with --trust or {TRUST_VARIABLE}=FILE"
        )
    return pinned


def _open(
    bundle: Path,
    identity: str | None,
    trust: Sequence[Path],
    licence: Path | None,
    threads: int,
) -> OpenBundle:
    source = identity_source(identity)
    opened = open_bundle(bundle, source, _pinned(trust), licence=licence, threads=threads)
    spec, on = opened.metadata.provider, opened.recognizer.provider
    if spec is not None and on == CPU:
        warn_on_stderr(
            f"the bundle is for {spec.target}, which does not work on this host; "
            f"it allows {CPU}, and runs there"
        )
    return opened


def _say(line: str, *, error: bool = False) -> None:
    stream = sys.stderr if error else sys.stdout
    # File names need not be valid text, and not every terminal can show every script.
    shown = line.encode(stream.encoding, "backslashreplace").decode(stream.encoding)
    stream.write(shown + "\n")
    stream.flush()
