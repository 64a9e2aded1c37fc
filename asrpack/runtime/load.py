"""From a sealed bundle to a recogniser in memory."""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import asrpack
from asrpack.bundle.keys import recipient_private
from asrpack.bundle.metadata import BundleMetadata
from asrpack.bundle.model import GOLDEN_FILE, NGRAM_FILE, ModelDescription
from asrpack.bundle.opening import Opened, open_sealed
from asrpack.bundle.plaintext import Content, Plaintext
from asrpack.bundle.provider import CPU
from asrpack.bundle.secrets import SecretSource
from asrpack.errors import InputError, IntegrityError, ToolchainError
from asrpack.runtime.console import say
from asrpack.runtime.decoding.ngram import NgramModel
from asrpack.runtime.engine_cache import host_cache
from asrpack.runtime.engines import graph_files
from asrpack.runtime.keyring import read_trust
from asrpack.runtime.licence import Lease
from asrpack.runtime.memory_files import file_in_memory
from asrpack.runtime.providers import Provider
from asrpack.runtime.recognizer import Recognizer

PR_SET_DUMPABLE = 4


@dataclass(frozen=True)
class OpenBundle:
    """A bundle that was verified, decrypted and loaded.

    Attributes:
        metadata: what the bundle says it is.
        description: of its model.
        recognizer: ready to transcribe.
        golden: ``golden.json``, where the vendor put one in (:mod:`asrpack.runtime.golden`).
    """

    metadata: BundleMetadata
    description: ModelDescription
    recognizer: Recognizer
    golden: bytes | None = None


def warn_on_stderr(text: str) -> None:
    """Says a warning on standard error, in one line."""
    say(f"asrpack: warning: {text}", error=True)


def open_bundle(
    path: Path,
    identity: SecretSource,
    trust: Sequence[Path] = (),
    *,
    licence: Path | None = None,
    warn: Callable[[str], None] = warn_on_stderr,
    threads: int = 0,
    decode: str | None = None,
    one_method: bool = False,
    reached: Callable[[str], None] = lambda phase: None,
) -> OpenBundle:
    """Verifies a bundle, decrypts the verified bytes to memory and loads the graphs.

    Nothing decrypted is written to disk, and this process is kept out of core dumps and of
    other users' debuggers from here on.

    Args:
        path: the bundle's directory.
        identity: where the recipient's private key is.
        trust: the vendor's public keys, or trust policies. Without one, signer and envelope must
            only agree with each other (see :func:`asrpack.bundle.opening.read_sealed`).
        licence: for an identity that the bundle has no keys for; see
            :func:`asrpack.runtime.licence_files.licence_source` for None.
        warn: what to do with a warning: that the CPU stands in for a provider, or of the licence,
            now or while the model is used.
        threads: as for :class:`Recognizer`.
        decode: with ``one_method``, the method; None for the model's own.
        one_method: nothing but this method is wanted: what it does not need is not loaded.
        reached: told ``decrypted`` when the model is in memory and not loaded yet.

    Raises:
        InputError: there is no such bundle, or what is in it cannot be read.
        IntegrityError, ErrorGroup: it is not what its vendor signed.
        UsageError: the model cannot be decoded by this method.
        KeyFileError: a key cannot be read, or neither bundle nor licence is for this identity.
        ToolchainError: this runtime is too old for it, its engine cannot load its graphs or is not
            installed, what reads its language model is not installed, or the provider that it is
            for does not work here and it does not allow the CPU.
    """
    harden_process()
    key = recipient_private(identity.read(), str(identity))
    lease = Lease(licence, path, warn)
    opened = open_sealed(path, key, read_trust(trust), lease.unlock)
    if licence is not None and lease.licence is None:
        warn(f"the licence {licence} is not looked at: the bundle is for this key without one")
    _check_version(opened.metadata)
    reached("decrypted")
    description = ModelDescription.from_json(bytes(_file(opened, "model.json")))
    if one_method:
        description = description.decoded_by(decode)
    target = opened.metadata.target
    recognizer = Recognizer(
        description,
        {name: _file(opened, name) for name in graph_files(target, description.graphs)},
        target=target,
        ngram=None if description.decode.ngram is None else _ngram(_file(opened, NGRAM_FILE)),
        threads=threads,
        provider=_provider(opened, path, warn),
        lease=None if lease.licence is None else lease,
    )
    golden = opened.files.get(GOLDEN_FILE)
    return OpenBundle(
        opened.metadata, description, recognizer, None if golden is None else bytes(golden)
    )


def _provider(opened: Opened, path: Path, warn: Callable[[str], None]) -> Provider | None:
    """What the bundle's sessions are opened with; None for the CPU."""
    spec = opened.metadata.provider
    if spec is None:
        return None
    # Not above: it imports ONNX Runtime, which a bundle for another engine does not have.
    from asrpack.runtime.provider_probe import choose

    provider = choose(spec, str(path))
    if provider is None:
        warn(
            f"the bundle is for {spec.target}, which does not work on this host; "
            f"it allows {CPU}, and runs there"
        )
        return None
    if not provider.may_keep:
        return provider
    return provider.keeping(host_cache(opened.metadata.bundle_id, opened.engine_key))


def _ngram(content: Content) -> NgramModel:
    """KenLM reads files only; this one is in memory, and gone once it was read."""
    try:
        with file_in_memory(content, "ngram") as path:
            return NgramModel(path)
    except InputError as error:
        # Nobody knows the descriptor, and whoever runs a bundle has no other file to give.
        error.place, error.remedy = NGRAM_FILE, "get the bundle again from its vendor"
        raise


def harden_process() -> None:
    """Friction on Linux: no core dumps, no attaching by the same user.

    It keeps the model out of crash reports; it does not stop an administrator.
    """
    if sys.platform != "linux":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def _file(opened: Opened, name: str) -> Plaintext:
    if name not in opened.files:
        raise IntegrityError(
            f"the bundle has no {name}",
            code="model-file-missing",
            place="model/envelope.json",
            remedy="get the bundle again from its vendor",
        )
    return opened.files[name]


def _check_version(metadata: BundleMetadata) -> None:
    if _release(asrpack.__version__) < _release(metadata.minimum_runtime):
        raise ToolchainError(
            f"the bundle needs asrpack {metadata.minimum_runtime} or later; "
            f"this is {asrpack.__version__}",
            code="runtime-too-old",
            remedy="use the runtime inside the bundle, or upgrade asrpack",
        )


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
