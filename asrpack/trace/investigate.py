"""Tests every customer against a suspect, and keeps a record that an expert can check."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from asrpack import __version__
from asrpack.bundle.metadata import build_time, utc
from asrpack.bundle.secrets import commitment
from asrpack.errors import InputError
from asrpack.protect.detection import ACCUSE_Z, Evidence, Score, residuals
from asrpack.protect.matching import ALIGNED, IN_PLACE, Match, match
from asrpack.protect.watermark import SCHEME
from asrpack.trace.original import Original
from asrpack.trace.suspect import Suspect

NAMED, NOT_NAMED = "named", "not named"
# Names that no customer has, scored against the same suspect: chance, to look at.
CONTROLS = 200


@dataclass(frozen=True)
class Result:
    """One customer's.

    Attributes:
        z: standard normal where the customer's mark is not in the suspect.
        p: that anybody of those tested would have such a z or more by chance (Bonferroni).
        verdict: ``named`` from z = 7, else ``not named``.
    """

    customer: str
    z: float
    p: float
    verdict: str


def investigate(
    suspect: Suspect, original: Original, key: bytes, customers: Sequence[str]
) -> dict[str, Any]:
    """Aligns a suspect with the original and scores every customer.

    Args:
        key: the vendor's watermark key.
        customers: all that have a copy, each once.

    Returns:
        The record of it: ``results`` (:class:`Result` as dictionaries, the highest z first),
        ``controls``, ``suspect``, ``original``, ``matrices``, ``method``, ``tools``, ``created``.

    Raises:
        InputError: no matrix of the suspect is one of the original.
    """
    matches = match(original.matrices, suspect.matrices)
    if not matches:
        raise InputError(
            f"none of its {suspect.stored} matrices is one of the original's "
            f"{len(original.matrices)}",
            code="suspect-unrelated",
            place=suspect.place,
            remedy="check that --original is of the model that this is thought to be a copy of",
        )
    aligned = {item.name: item.aligned.values for item in matches}
    evidence = Evidence([residuals(original.matrices, aligned)], key)
    controls = evidence.z([f"\0control {number}" for number in range(CONTROLS)])
    return {
        "created": utc(build_time()),
        "results": [asdict(_result(item, len(customers))) for item in evidence.scores(customers)],
        "controls": {
            "count": CONTROLS,
            "mean": float(controls.mean()),
            "deviation": float(controls.std(ddof=1)),
            "greatest": float(controls.max()),
        },
        "suspect": {
            "place": suspect.place,
            "kind": suspect.kind,
            "sha256": suspect.digest,
            "matrices": suspect.stored,
            "not_finite": suspect.not_finite,
            "commitment": suspect.commitment,
        },
        "original": {
            "digests": dict(original.digests),
            "matrices": len(original.matrices),
            "weights": sum(item.size for item in original.matrices.values()),
            "key": commitment(key),
            "commitment": original.commitment(key),
        },
        "matrices": [_matched(item) for item in matches],
        "missing": sorted(original.matrices.keys() - aligned.keys()),
        "method": {
            "scheme": SCHEME,
            "threshold": ACCUSE_Z,
            "weights": sum(item.size for item in aligned.values()),
            "in_place": IN_PLACE,
            "aligned": ALIGNED,
        },
        "tools": {
            "asrpack": __version__,
            "python": ".".join(map(str, sys.version_info[:3])),
            **{name: version(name) for name in ("numpy", "scipy", "cryptography")},
        },
    }


def _result(score: Score, tested: int) -> Result:
    verdict = NAMED if score.z >= ACCUSE_Z else NOT_NAMED
    return Result(score.customer, score.z, min(1.0, score.p * tested), verdict)


def _matched(item: Match) -> dict[str, Any]:
    least, greatest = item.aligned.factors
    return {
        "name": item.name,
        "tensor": item.tensor,
        "shape": list(item.aligned.values.shape),
        "transposed": item.transposed,
        "moved": item.aligned.moved,
        "flipped": item.aligned.flipped,
        "factors": [least, greatest],
        "correlation": item.aligned.correlation,
    }
