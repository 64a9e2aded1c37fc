"""The licence that an open bundle is used under: found, checked, and kept an eye on.

Who can patch this file can pass every check in it. What cannot be passed is that without a licence
there is no key (:mod:`asrpack.bundle.licence`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from asrpack.bundle.licence import LockedBundle
from asrpack.bundle.licence_body import DAY, Licence, Standing
from asrpack.bundle.metadata import utc
from asrpack.errors import AsrpackError, ErrorGroup, KeyFileError
from asrpack.runtime.host_factors import host_factors, refuse_other_host
from asrpack.runtime.licence_clock import SLACK, Clock, refuse_rollback, running_seconds
from asrpack.runtime.licence_files import (
    LICENCE_VARIABLE,
    find_licences,
    licence_source,
    read_file,
)
from asrpack.runtime.licence_state import LicenceState, Seen, state_folder

_SAVE_EVERY = 600  # seconds
_WARN_EVERY = DAY
# Of a folder: licences for other bundles and recipients may lie there, too.
_FOR_SOMEBODY_ELSE = ("licence-bundle", "licence-recipient")


@dataclass(frozen=True)
class Host:
    """What a licence is held against.

    Attributes:
        wall: the clock, Unix seconds.
        running: seconds that go on whatever is done to the clock.
        factors: identifiers by kind (:func:`asrpack.runtime.host_factors.host_factors`).
        state: folder of what is remembered; None for none.
    """

    wall: Callable[[], float] = time.time
    running: Callable[[], float] = running_seconds
    factors: Callable[[], Mapping[str, Sequence[str]]] = host_factors
    state: Callable[[], Path | None] = state_folder


class Lease:
    """A licence in use. Methods may be called from several threads at once.

    :meth:`unlock` finds it. From then on :meth:`take` looks whether the files changed: a renewal
    takes effect with the next request, or when it begins. One that is damaged, older or over
    already is refused with a warning, and the licence in use stays.

    Args:
        given: a licence, or a folder of them; None for the default
            (:func:`asrpack.runtime.licence_files.licence_source`).
        bundle: the bundle's directory.
        warn: what to do with a warning, one sentence.
        remember: write to this host's memory what was seen.
        host: where the checks look.

    Attributes:
        licence: the one in use; None before :meth:`unlock`.
    """

    def __init__(
        self,
        given: Path | None,
        bundle: Path,
        warn: Callable[[str], None],
        *,
        remember: bool = True,
        host: Host | None = None,
    ) -> None:
        self.licence: Licence | None = None
        self._source, self._named = licence_source(given, bundle)
        self._warn = warn
        self._remember = remember
        self._host = host or Host()
        self._lock = threading.Lock()
        self._places: set[object] = set()
        self._later: list[Licence] = []  # renewals that have not begun
        self._warned: dict[str, float] = {}

    def unlock(self, bundle: LockedBundle) -> bytes:
        """Finds the licence that counts, and gives the bundle's data keys.

        Of several it is the one with the highest sequence of those that hold now.

        Raises:
            KeyFileError, ErrorGroup: there is none for this bundle, recipient, host and time; or
                what this host remembers was changed.
        """
        self._bundle = bundle
        self._factors = self._host.factors()
        self._clock = Clock(self._host.wall, self._host.running)
        self._versions = find_licences(self._source)
        usable, errors = self._read(self._versions)
        if not usable:
            raise self._none_usable(errors)
        latest = max(usable, key=lambda licence: licence.sequence)
        self._secret = usable[latest]
        self._state = LicenceState(
            self._host.state() if self._secret else None,
            latest.bundle.bundle_id,
            latest.recipient,
            self._secret,
            lambda text: self._say("state", text),
        )
        self._refuse_older(latest)
        newest = [item for item in usable if item.sequence >= self._state.seen.sequence]
        self._later = [item for item in newest if self.standing(item) == "not-yet"]
        licence = self._best(newest) or latest
        self._use(licence, self._check(licence))
        return self._secret

    def take(self) -> Callable[[], None]:
        """One of the recognitions that the licence allows at a time.

        Returns:
            What gives it back; a second call of it does nothing.

        Raises:
            KeyFileError: the licence is over, the clock was set back, or all places are taken.
        """
        with self._lock:
            self._renew()
            assert self.licence is not None  # unlock
            now = self._check(self.licence)
            if now - self._saved >= _SAVE_EVERY:
                self._save(self.licence, now)
            limit = self.licence.terms.streams
            if limit is not None and len(self._places) >= limit:
                raise KeyFileError(
                    f"the licence allows {limit} recognition{'s' if limit > 1 else ''} at a time, "
                    "and so many are running",
                    code="licence-streams",
                    place=str(self._source),
                    remedy="wait for one to finish, or ask the vendor for a licence for more",
                )
            place = object()
            self._places.add(place)
        # No lock: it may run whenever Python collects a stream that nobody finished.
        return partial(self._places.discard, place)

    def time(self, licence: Licence) -> tuple[int, int]:
        """The time for a licence in Unix seconds, and by how much the host's clock is behind it."""
        floor = max(self._bundle.created, licence.issued)
        if licence.sequence == self._state.seen.sequence:
            floor = max(floor, self._state.seen.clock)
        return self._clock.read(floor)

    def standing(self, licence: Licence) -> Standing:
        """Whether a licence holds now."""
        return licence.terms.standing(self.time(licence)[0])

    def days_left(self) -> float | None:
        """Until the licence in use, with its grace, ends; None where it does not, below 0 after."""
        assert self.licence is not None  # unlock
        ends = self.licence.terms.ends
        return None if ends is None else (ends - self.time(self.licence)[0]) / DAY

    def _read(self, paths: Iterable[Path]) -> tuple[dict[Licence, bytes], list[KeyFileError]]:
        """The licences for this bundle, recipient and host, and why the others are not."""
        usable, errors = {}, []
        for path in paths:
            try:
                licence, secret = self._bundle.open(read_file(path), str(path))
                refuse_other_host(licence.terms.hosts, self._factors, str(path))
                usable[licence] = secret
            except KeyFileError as error:
                errors.append(error)
        return usable, errors

    def _none_usable(self, errors: Sequence[KeyFileError]) -> AsrpackError:
        if not errors:
            identity = self._bundle.identity
            whose = f" for the key {identity.fingerprint}" if identity else ""
            return KeyFileError(
                f"the bundle opens with a licence only{whose}, and there is none",
                code="licence-missing" if self._named else "identity-not-recipient",
                place=str(self._source),
                remedy="put the licence that the vendor sent there, or name it with --license or "
                f"{LICENCE_VARIABLE}; without one, use a private key that the bundle is for: "
                "`asrpack inspect` lists their ids",
            )
        mine = [item for item in errors if item.code not in _FOR_SOMEBODY_ELSE] or errors
        return mine[0] if len(mine) == 1 else ErrorGroup(list(mine))

    def _check(self, licence: Licence) -> int:
        """The time; raises KeyFileError where the licence does not hold now."""
        terms = licence.terms
        now, behind = self.time(licence)
        if terms.expires is not None:
            refuse_rollback(now, behind)
            if behind > SLACK:
                self._say(
                    "clock",
                    f"the clock is {behind // 60} minutes behind {utc(now)}, which is past "
                    "already: set it right",
                )
        standing = terms.standing(now)
        if standing == "not-yet":
            raise KeyFileError(
                f"the licence begins at {utc(terms.not_before)}; it is {utc(now)}",
                code="licence-not-yet",
                place=str(self._source),
                remedy="wait until then, or ask the vendor for one that begins earlier",
            )
        if terms.expires is not None and standing == "expired":
            raise KeyFileError(
                f"the licence expired at {utc(terms.expires)}"
                + (f", and its {terms.grace_days} days of grace are over" * bool(terms.grace_days)),
                code="licence-expired",
                place=str(self._source),
                remedy="ask the vendor to renew it, and put the renewal in its place",
            )
        if terms.expires is not None and terms.ends is not None and standing == "grace":
            self._say(
                "grace",
                f"the licence expired at {utc(terms.expires)} and works until "
                f"{utc(terms.ends)}: ask the vendor to renew it",
            )
        return now

    def _renew(self) -> None:
        """Takes up what changed among the files, if it is better than the licence in use."""
        try:
            found = find_licences(self._source)
        except KeyFileError as error:
            self._say("files", f"{error.place}: {error.message}")
            return
        changed = [path for path, version in found.items() if self._versions.get(path) != version]
        self._versions = found
        if changed:
            usable, errors = self._read(changed)
            if self._source.is_dir():
                errors = [item for item in errors if item.code not in _FOR_SOMEBODY_ELSE]
            usable = {item: keys for item, keys in usable.items() if item != self.licence}
            for licence, secret in usable.items():
                try:
                    self._refuse_worse(licence, secret)
                    self._later.append(licence)
                except KeyFileError as error:
                    errors.append(error)
            for refused in errors:
                self._warn(f"{refused.place}: {refused.message}; the licence in use stays")
        if (best := self._best(self._later)) is not None:
            self._use(best, self._check(best))

    def _best(self, licences: Iterable[Licence]) -> Licence | None:
        """The one with the highest sequence of those that hold now."""
        holding = [item for item in licences if self.standing(item) in ("valid", "grace")]
        return max(holding, key=lambda licence: licence.sequence, default=None)

    def _refuse_worse(self, licence: Licence, secret: bytes) -> None:
        self._refuse_older(licence)
        if secret != self._secret:
            raise KeyFileError("it has other data keys", place=str(self._source))
        if self.standing(licence) == "expired":
            raise KeyFileError("it is over already", place=str(self._source))

    def _refuse_older(self, licence: Licence) -> None:
        if licence.sequence < self._state.seen.sequence:
            raise KeyFileError(
                f"the licence has the sequence {licence.sequence}, and one with "
                f"{self._state.seen.sequence} was used here before",
                code="licence-rollback",
                place=str(self._source),
                remedy="use the newest licence that the vendor sent",
            )

    def _use(self, licence: Licence, now: int) -> None:
        self.licence = licence
        self._later = [item for item in self._later if item.sequence > licence.sequence]
        self._save(licence, now)

    def _save(self, licence: Licence, now: int) -> None:
        self._saved = now
        if self._remember:
            mark = 0 if licence.terms.expires is None else now
            self._state.remember(Seen(licence.sequence, mark))

    def _say(self, kind: str, text: str) -> None:
        """Warns, once a day of each kind."""
        now = self._host.running()
        if now - self._warned.get(kind, -_WARN_EVERY) >= _WARN_EVERY:
            self._warned[kind] = now
            self._warn(text)
