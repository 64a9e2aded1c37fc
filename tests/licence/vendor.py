"""A vendor who licenses a bundle to a customer whom its envelope does not name."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from asrpack.bundle.envelope import suite
from asrpack.bundle.keys import (
    Key,
    public_pem,
    read_key,
    recipient_private,
    recipient_public,
    signing_private,
)
from asrpack.bundle.licence import LICENCE_TYPE, LockedBundle, read_licence
from asrpack.bundle.licence_body import DAY, Licence, Terms
from asrpack.bundle.opening import Sealed, lock_of, read_sealed
from asrpack.bundle.verify import CURVES, canonical_json, pae
from asrpack.protect.licence import issue, open_for_licensing, renew
from asrpack.runtime.licence import Host, Lease
from tests.hostile.bundles import SealedBundle

NOW = 1_790_000_000
"""The time of these tests, in September 2026; the bundle was created before."""


@dataclass(frozen=True)
class Vendor:
    """Files: the bundle, the vendor's two private keys, the customer's private key."""

    bundle: Path
    signing: Path
    escrow: Path
    customer: Path

    @cached_property
    def signer(self) -> Key:
        return signing_private(self.signing.read_bytes(), str(self.signing))

    @cached_property
    def trust(self) -> bytes:
        return self.signing.with_suffix(".pub").read_bytes()

    @cached_property
    def identity(self) -> Key:
        return recipient_private(self.customer.read_bytes(), str(self.customer))

    @cached_property
    def recipient(self) -> Key:
        public = self.customer.with_suffix(".pub")
        return recipient_public(public.read_bytes(), str(public))

    @cached_property
    def secret(self) -> bytes:
        escrow = recipient_private(self.escrow.read_bytes(), str(self.escrow))
        return open_for_licensing(self.bundle, escrow)[1]

    @cached_property
    def sealed(self) -> Sealed:
        return read_sealed(self.bundle, [self.trust])

    def lock(self, identity: Key | None = None) -> LockedBundle:
        locked = lock_of(self.sealed, identity or self.identity)
        assert locked is not None
        return locked

    def issue(self, *, issued: int = NOW, signer: Key | None = None, **terms: Any) -> bytes:
        """A licence of 30 days; ``terms`` are those of :class:`Terms`."""
        begin = terms.pop("not_before", issued)
        terms = {"expires": begin + 30 * DAY} | terms
        return issue(
            Terms("acme", begin, **terms),
            self.lock().bundle,
            self.secret,
            self.recipient,
            signer or self.signer,
            issued=issued,
        )

    def renew(self, old: bytes, *, issued: int, days: int = 30, **more: Any) -> bytes:
        begin = more.pop("not_before", issued)
        return renew(
            old,
            self.lock().bundle,
            self.secret,
            self.recipient,
            self.signer,
            not_before=begin,
            expires=begin + days * DAY,
            issued=issued,
            **more,
        )

    def sign(self, payload: bytes, kind: str = LICENCE_TYPE) -> bytes:
        """A licence file over any payload, signed as this vendor signs."""
        handle = self.signer.handle
        signature = handle.sign(pae(payload, kind), ec.ECDSA(CURVES[handle.curve.name]))
        entry = {"keyid": self.signer.fingerprint, "sig": base64.b64encode(signature).decode()}
        payload_text = base64.b64encode(payload).decode()
        return canonical_json({"payload": payload_text, "payloadType": kind, "signatures": [entry]})

    def edit(self, change: Callable[[dict[str, Any]], None], *, rewrap: bool = True) -> bytes:
        """A licence whose payload was changed, with keys that fit and the vendor's signature."""
        payload = json.loads(base64.b64decode(json.loads(self.issue())["payload"]))
        change(payload)
        if rewrap:
            info = hashlib.sha256(canonical_json(payload["body"])).digest()
            wrapped = suite(self.recipient.algorithm).encrypt(
                self.secret, self.recipient.handle, info
            )
            payload["wrapped"] = base64.b64encode(wrapped).decode()
        return self.sign(canonical_json(payload))


def read(data: bytes) -> Licence:
    """Its signature is not checked."""
    return read_licence(data, "licence.json")


@dataclass
class FakeHost:
    """A host whose clock, memory and identity a test sets."""

    state: Path | None
    now: float = NOW
    ran: float = 1000.0
    factors: dict[str, tuple[str, ...]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def passes(self, seconds: float) -> None:
        """Time goes by, and the clock with it."""
        self.now += seconds
        self.ran += seconds

    def lease(self, given: Path, vendor: Vendor, **more: Any) -> Lease:
        host = Host(
            wall=lambda: self.now,
            running=lambda: self.ran,
            factors=lambda: self.factors,
            state=lambda: self.state,
        )
        return Lease(given, vendor.bundle, self.warnings.append, host=host, **more)

    def open(self, given: Path, vendor: Vendor, **more: Any) -> Lease:
        """A lease that has the bundle's keys."""
        lease = self.lease(given, vendor, **more)
        assert lease.unlock(vendor.lock()) == vendor.secret
        return lease


def public_half(key: Key) -> Key:
    """Of a recipient's private key."""
    return read_key(public_pem(key), "the public half")


def vendor_of(sealed: SealedBundle) -> Vendor:
    """Of a bundle that its escrow key opens, and the customer only with a licence."""
    folder = sealed.folder
    return Vendor(sealed.path, folder / "vendor.pem", folder / "old.key", folder / "stranger.key")
