"""A hostile input: how it is made from a sound bundle, and what refuses it with which code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.hostile.bundles import SealedBundle

Make = Callable[[SealedBundle], object]

VERIFY = "verify"
RUN = "run"
UNPINNED = "run unpinned"
SELFTEST = "verify --selftest"
ALONE = "verify.py"
EVERYONE = (VERIFY, RUN, UNPINNED, ALONE)
PINNED = (VERIFY, RUN, ALONE)
READERS = (VERIFY, RUN, UNPINNED)
OPENERS = (RUN, UNPINNED, SELFTEST)

INPUT, INTEGRITY, KEY = 3, 6, 7


@dataclass(frozen=True)
class Case:
    """One hostile input.

    Attributes:
        name: unique within its group.
        make: breaks a copy of the sound bundle, or what lies beside it, in place.
        code: of the error, or of one of the findings.
        by: who must refuse it: ``asrpack verify``, ``asrpack run`` with the vendor's key, the same
            without one, ``asrpack verify --selftest``, or the bundle's own ``verify.py``.
        accepted_by: who cannot see it and must accept it: the vendor signed these very bytes.
        exit_code: of all of them.
        codes: what some of them say instead, because they look at something else first.
        bundle, trust, identity: what is given, relative to the folder around the bundle.
        swap: a file's name and a number: ``make`` runs when that file is opened for that time,
            so between two looks at it.
        unprivileged: permissions count, even where the tests run as root.
    """

    name: str
    make: Make
    code: str
    by: Sequence[str] = EVERYONE
    accepted_by: Sequence[str] = ()
    exit_code: int = INTEGRITY
    codes: Mapping[str, str] = field(default_factory=dict)
    bundle: str = "bundle"
    trust: str = "vendor.pub"
    identity: str = "customer.key"
    swap: tuple[str, int] | None = None
    unprivileged: bool = False

    def code_for(self, entrance: str) -> str:
        """What one of ``by`` must say."""
        return self.codes.get(entrance, self.code)


def in_bundle(act: Callable[[Path], object]) -> Make:
    """What breaks a bundle's directory, as :attr:`Case.make`."""
    return lambda sealed: act(sealed.path)


def signed(case: Case, make: Make) -> Case:
    """The same fault in a bundle that its vendor signed with it: seen when it is opened only."""
    return replace(
        case,
        name=f"{case.name}, and signed",
        make=make,
        by=OPENERS,
        accepted_by=(ALONE,),
    )
