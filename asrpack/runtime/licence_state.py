"""What a host remembers of a licence: the latest time it saw, and the highest sequence.

A file for each bundle and recipient, with an HMAC under a key derived from the bundle's data
keys: whoever has no licence cannot write one, and an edit is noticed. Removing the file is not
noticed; then the dates that the vendor signed are the only floor.
"""

from __future__ import annotations

import errno
import hmac
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from asrpack.bundle.staged import staged
from asrpack.bundle.verify import FormatError, canonical_json, check_shape, strict_json
from asrpack.errors import KeyFileError

STATE_VARIABLE = "ASRPACK_STATE"
STATE_FORMAT = "asrpack-licence-state/1"
_SHAPE = {
    "body": {"format": str, "bundle_id": str, "recipient": str, "sequence": int, "clock": int},
    "hmac": str,
}
_MAX_STATE = 4096


@dataclass(frozen=True, order=True)
class Seen:
    """What was seen. Of two, that of the higher sequence is the greater: a renewal starts anew.

    Attributes:
        sequence: the highest of a licence that was used.
        clock: the latest time at which it held, Unix seconds.
    """

    sequence: int = 0
    clock: int = 0


class LicenceState:
    """The memory of one bundle and recipient on this host.

    Args:
        folder: where it is kept; None: nowhere.
        bundle_id, recipient: whose it is.
        secret: the bundle's data keys.
        warn: what to do with a warning, one sentence; called again and again.

    Attributes:
        seen: what was seen up to now.

    Raises:
        KeyFileError: the file is not what was written.
    """

    def __init__(
        self,
        folder: Path | None,
        bundle_id: str,
        recipient: str,
        secret: bytes,
        warn: Callable[[str], None],
    ) -> None:
        self._path = None if folder is None else folder / f"{bundle_id}.{recipient[:16]}.json"
        self._owner = {"bundle_id": bundle_id, "recipient": recipient}
        info = f"asrpack licence state v1|{bundle_id}|{recipient}".encode()
        self._key = HKDF(hashes.SHA256(), length=32, salt=None, info=info).derive(secret)
        self._warn = warn
        self.seen = self._read()

    def remember(self, seen: Seen) -> None:
        """Adds to what was seen; the file is there whole, the old or the new one."""
        try:
            # Another process may have seen more.
            seen = max(seen, self._read())
        except KeyFileError as error:
            self._warn(f"{error.message}; it is written anew")
        self.seen = max(seen, self.seen)
        try:
            self._write(self.seen)
        except OSError as error:
            self._forgetful(error)

    def _read(self) -> Seen:
        if self._path is None:
            return Seen()
        try:
            with self._path.open("rb") as stream:
                return self._parse(stream.read(_MAX_STATE + 1))
        except FileNotFoundError:
            return Seen()
        except OSError as error:
            self._forgetful(error)
            return Seen()
        except FormatError as error:
            raise KeyFileError(
                f"what this host remembers of its licence was changed or damaged: {error}",
                code="licence-state",
                place=str(self._path),
                remedy="put the file back from a backup of this host, or ask the vendor",
            ) from None

    def _write(self, seen: Seen) -> None:
        if self._path is None:
            raise FileNotFoundError(errno.ENOENT, "this user has no home")
        body = {"format": STATE_FORMAT, **self._owner, **asdict(seen)}
        data = canonical_json({"body": body, "hmac": self._hmac(body)})
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with staged(self._path, data, 0o600) as part:
            part.replace(self._path)

    def _forgetful(self, error: OSError) -> None:
        self._warn(
            f"what was seen of the licence is not remembered here ({error.strerror}): let "
            f"{STATE_VARIABLE} name a folder that can be written"
        )

    def _parse(self, data: bytes) -> Seen:
        raw = strict_json(data, _MAX_STATE)
        check_shape(raw, _SHAPE, "it", "licence-state")
        body = raw["body"]
        if not hmac.compare_digest(self._hmac(body).encode(), raw["hmac"].encode()):
            raise FormatError("licence-state", "its HMAC is not that of its contents")
        owner = {name: body[name] for name in self._owner}
        if body["format"] != STATE_FORMAT or owner != self._owner:
            raise FormatError("licence-state", "it is of another format, bundle or recipient")
        return Seen(body["sequence"], body["clock"])

    def _hmac(self, body: Mapping[str, object]) -> str:
        return hmac.digest(self._key, canonical_json(body), "sha256").hex()


def state_folder() -> Path | None:
    """``ASRPACK_STATE``, else ``asrpack`` in the user's folder for states; None without a home."""
    if given := os.environ.get(STATE_VARIABLE):
        return Path(given)
    try:
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    except RuntimeError:
        return None
    return Path(base) / "asrpack"
