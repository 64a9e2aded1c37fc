"""Writing trust policies: the document of :func:`asrpack.bundle.verify.read_policy`, edited.

A policy is edited as the JSON object that it is, and read back by the verifier's own code before it
is written: what is written, a verifier takes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from asrpack.bundle.envelope import UUID
from asrpack.bundle.metadata import day_or_time, utc
from asrpack.bundle.staged import staged
from asrpack.bundle.verify import (
    TRUST_FORMAT,
    FormatError,
    Policy,
    load_trusted_key,
    read_policy,
)
from asrpack.errors import InputError, KeyFileError
from asrpack.runtime.keyring import read_trust

Document = dict[str, Any]
# Of a day that is named, what is meant: its first second, or its last.
_FIRST, _LAST = 0, 24 * 3600 - 1


def new_policy() -> Document:
    """A policy that trusts nobody."""
    return {
        "format": TRUST_FORMAT,
        "signers": [],
        "countersigners": [],
        "revoked": {"keys": [], "bundles": []},
        "minimum_sequence": {},
        "created_since": None,
        "maximum_age_days": None,
    }


def policy_bytes(document: Document) -> bytes:
    """The policy as a file holds it."""
    return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"


def read_document(path: Path) -> Document:
    """Reads a policy's file.

    Raises:
        KeyFileError: it cannot be read, or is no trust policy.
    """
    remedy = "give the policy with --policy; `asrpack trust init` makes one"
    (data,) = read_trust([path], remedy)
    if not read_policy(data).closed:
        raise KeyFileError(
            "this is a public key, not a trust policy",
            code="trust-format",
            place=str(path),
            remedy=remedy,
        )
    document: Document = json.loads(data)
    return document


def write_document(path: Path, document: Document, *, new: bool = False) -> Policy:
    """Writes a policy: whoever reads the file sees the old one or the new one.

    Args:
        new: the file must not exist.

    Returns:
        What it says.

    Raises:
        InputError: what was asked makes no policy, the file exists, or it cannot be written.
    """
    data = policy_bytes(document)
    try:
        policy = read_policy(data)
    except FormatError as fault:
        raise _refused(f"that makes no trust policy: it has or is {fault}", path) from None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with staged(path, data, 0o644) as part:
            if new:
                path.hardlink_to(part)  # takes the name, or fails
            else:
                part.replace(path)
    except OSError as error:
        raise InputError(
            f"cannot write the trust policy: {error.strerror}",
            code="trust-exists" if isinstance(error, FileExistsError) else "trust-unwritable",
            place=str(path),
            remedy="change it with `asrpack trust add`, or give another file with --policy"
            if isinstance(error, FileExistsError)
            else "give a file that you can write with --policy",
        ) from None
    return policy


def add_signer(
    document: Document,
    name: str | None,
    key: bytes,
    post_quantum: bytes | None = None,
    not_before: str | None = None,
    not_after: str | None = None,
) -> None:
    """Lets a key sign bundles; of a key that may already, changes what is given only.

    Args:
        name: whose it is; needed for a key that is new.
        key, post_quantum: public keys in PEM; the second must then have signed, too.
        not_before, not_after: bounds of ``created``; "none" lifts one.

    Raises:
        InputError: a date that is none.
    """
    entry = find_signer(document, key)
    if entry is None:
        terms = {"post_quantum": None, "not_before": None, "not_after": None}
        entry = {"name": name, "key": key.decode(), **terms}
        document["signers"].append(entry)
    if name is not None:
        entry["name"] = name
    if post_quantum is not None:
        entry["post_quantum"] = post_quantum.decode()
    if not_before is not None:
        entry["not_before"] = _time(not_before, _FIRST)
    if not_after is not None:
        entry["not_after"] = _time(not_after, _LAST)


def find_signer(document: Document, key: bytes) -> Document | None:
    """What a policy says of a signer, by the public key in PEM."""
    wanted = load_trusted_key(key).fingerprint
    return next((e for e in document["signers"] if _fingerprint(e["key"]) == wanted), None)


def require_countersigner(document: Document, name: str, key: bytes) -> None:
    """Demands a key's signature besides; of a name that is there, takes the key's place."""
    kept = [entry for entry in document["countersigners"] if entry["name"] != name]
    document["countersigners"] = [*kept, {"name": name, "key": key.decode()}]


def require_created(document: Document, since: str | None, days: str | None) -> None:
    """Bounds ``created``; "none" lifts a bound.

    Args:
        since: a date or a time.
        days: the greatest age in days.

    Raises:
        InputError: it is not one.
    """
    if since is not None:
        document["created_since"] = _time(since, _FIRST)
    if days is not None:
        if not re.fullmatch("[1-9][0-9]{0,5}|none", days):
            raise _refused(f"{days!r} is no number of days", None)
        document["maximum_age_days"] = None if days == "none" else int(days)


def remove(document: Document, name: str) -> None:
    """Takes a signer or a countersigner out, by name.

    Raises:
        InputError: there is none.
    """
    for role in ("signers", "countersigners"):
        kept = [entry for entry in document[role] if entry["name"] != name]
        if len(kept) < len(document[role]):
            document[role] = kept
            return
    names = [entry["name"] for role in ("signers", "countersigners") for entry in document[role]]
    raise _refused(f"nobody is called {name!r}; there is {', '.join(names) or 'nobody'}", None)


def revoke(document: Document, what: str) -> None:
    """Revokes a key (its id) or a bundle (its id).

    Raises:
        InputError: it is neither.
    """
    if re.fullmatch("[0-9a-f]{64}", what):
        kind = "keys"
    elif UUID.fullmatch(what):
        kind = "bundles"
    else:
        raise _refused(f"{what!r} is neither a key's nor a bundle's id or file", None)
    if what not in document["revoked"][kind]:
        document["revoked"][kind].append(what)


def advance(document: Document, name: str, sequence: int) -> None:
    """Accepts no bundle of this name below a sequence from now on; never goes back."""
    least = document["minimum_sequence"]
    least[name] = max(sequence, least.get(name, 0))


def without_key(trust: Sequence[bytes], fingerprint: str) -> list[bytes]:
    """``trust``, where no policy demands one key's signature: that of who is about to sign.

    Raises:
        KeyFileError: an item of ``trust`` cannot be read.
    """
    items = []
    for data in trust:
        try:
            closed = read_policy(data).closed
        except FormatError as fault:
            raise KeyFileError(
                f"what is trusted cannot be used: {fault}", code=fault.code
            ) from None
        if closed:
            document = json.loads(data)
            document["countersigners"] = [
                e for e in document["countersigners"] if _fingerprint(e["key"]) != fingerprint
            ]
            for entry in document["signers"]:
                other = entry["post_quantum"]
                if other is not None and _fingerprint(other) == fingerprint:
                    entry["post_quantum"] = None
            data = policy_bytes(document)
        items.append(data)
    return items


def in_words(policy: Policy) -> Iterator[str]:
    """What a policy says, a line each."""
    for item in policy.signers:
        until = " and ".join(
            part
            for part in (
                item.not_before and f"from {item.not_before}",
                item.not_after and f"to {item.not_after}",
            )
            if part
        )
        yield f"{item.name} may sign: {item.key.algorithm} {item.key.fingerprint}"
        if until:
            yield f"  bundles created {until}"
        if item.post_quantum:
            yield f"  and must, with ml-dsa-65 {item.post_quantum.fingerprint}, too"
    if not policy.signers:
        yield "nobody may sign: every bundle is refused"
    for item in policy.countersigners:
        yield f"{item.name} must sign, too: {item.key.algorithm} {item.key.fingerprint}"
    for fingerprint in sorted(policy.revoked_keys):
        yield f"revoked: the key {fingerprint}"
    for bundle in sorted(policy.revoked_bundles):
        yield f"revoked: the bundle {bundle}"
    for name, sequence in sorted(policy.minimum_sequence.items()):
        yield f"no {name} older than sequence {sequence}"
    if policy.created_since:
        yield f"nothing created before {policy.created_since}"
    if policy.maximum_age_days:
        yield f"nothing created over {policy.maximum_age_days} days ago"


def _fingerprint(pem: str) -> str:
    return load_trusted_key(pem.encode()).fingerprint


def _time(text: str, of_day: int) -> str | None:
    if text == "none":
        return None
    try:
        return utc(day_or_time(text, of_day))
    except ValueError:
        raise _refused(
            f"{text!r} is no date like 2026-01-31, and no time like 2026-01-31T00:00:00Z", None
        ) from None


def _refused(message: str, path: Path | None) -> InputError:
    return InputError(
        message,
        code="trust-change",
        place=None if path is None else str(path),
        remedy="see `asrpack trust show` and the verb's --help",
    )
