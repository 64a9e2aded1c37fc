"""One customer's bundle: the stages right of the quantized model, run for one customer.

What is heavy, the marked model and its ciphertext, lies in the customer's own folder while it is
made and is moved into place; what is small, evaluation and verdict, in the cache.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from asrpack.bundle.envelope import ENVELOPE_FILE
from asrpack.bundle.keys import (
    Key,
    post_quantum_private,
    public_pem,
    recipient_private,
    recipient_public,
    signing_private,
    signing_public,
    watermark_key,
)
from asrpack.bundle.licence import read_licence
from asrpack.bundle.licence_body import LicensedBundle
from asrpack.bundle.metadata import BundleMetadata, unix_seconds
from asrpack.bundle.opening import check_bundle
from asrpack.bundle.secrets import SecretSource, commitment
from asrpack.bundle.verify import (
    METADATA_FILE,
    SIGNATURE_FILE,
    read_signature,
    read_statement,
    root_digest,
)
from asrpack.errors import AsrpackError
from asrpack.pipeline.artifact import Artifact
from asrpack.pipeline.cache import Cache, Entry
from asrpack.pipeline.check import Checked
from asrpack.pipeline.compose import compose
from asrpack.pipeline.digest import digest_json
from asrpack.pipeline.events import Listener
from asrpack.pipeline.known_baseline import known_baseline
from asrpack.pipeline.locked import Locked
from asrpack.pipeline.node import Node
from asrpack.pipeline.plan import SourceDigests, Step
from asrpack.pipeline.results import lock_record, place_accepted, place_rejected
from asrpack.pipeline.runner import Runner
from asrpack.protect.licence import issue, open_data_keys
from asrpack.protect.registry import Issued, Record, Registry, mark_commitment
from asrpack.recipe.customers import Customer
from asrpack.report.results import REJECTED
from asrpack.stages.render import Render
from asrpack.stages.watermark import Watermark

# The stages that depend on the customer.
OWN = ("watermark", "evaluate", "gate", "golden", "encrypt", "render", "seal")
_CACHED = ("evaluate", "gate")
LICENCE = "licence.json"
BUNDLE = "bundle"


@dataclass(frozen=True)
class Plan:
    """What all customers of a build have in common; goes from process to process.

    Attributes:
        entries: of the stages that do not depend on the customer.
        escrow: the vendor's private key that bundles under a licence are encrypted for.
        force: make bundles that are there anew.
    """

    locked: Locked
    checked: Checked
    entries: Mapping[str, Entry]
    digests: SourceDigests
    cache: Path
    out: Path
    registry: Path
    escrow: SecretSource | None = None
    force: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a customer.

    Attributes:
        status: ``made``, ``kept`` (it was there), ``rejected`` (by its gate), or, of a dry run,
            ``make``.
        folder: the customer's.
        reasons: why the gate rejected it.
        seconds: by stage, as they were now.
    """

    customer: str
    status: str
    folder: Path
    recipient: str
    bundle_id: str | None = None
    manifest: str | None = None
    licence_id: str | None = None
    reasons: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return {**vars(self), "folder": str(self.folder), "reasons": list(self.reasons)}


class CustomerBuilds:
    """Makes the bundles of one build, one customer after the other."""

    def __init__(self, plan: Plan, listen: Listener) -> None:
        self._plan = plan
        self._listen = listen
        self._registry = Registry(plan.registry)
        self._cache = Cache(plan.cache)
        locked = plan.locked
        nodes = compose(locked.loaded, plan.checked, locked.build)
        self.nodes = {
            node.name: replace(node, secrets={n: _Held(s) for n, s in node.secrets.items()})
            for node in nodes
            if node.name in OWN
        }
        mark = self.nodes["watermark"]
        assert isinstance(mark.stage, Watermark)
        self.nodes["watermark"] = replace(mark, stage=type(mark.stage)(keeps=True))
        self.nodes["render"] = replace(self.nodes["render"], stage=Render(keeps=True))
        self._signer = signing_public(
            self.nodes["encrypt"].params.model_dump()["signer"].encode(), "the signing key"
        )
        self._escrow = _read(plan.escrow, recipient_private)
        secret = mark.secrets["key"]
        self._mark_key = watermark_key(secret.read(), str(secret))

    def kept(self, customer: Customer) -> Outcome | None:
        """What is there already, whole, of what is asked for."""
        request, folder = self._request(customer), self._plan.out / customer.name
        for record in reversed(self._registry.made(request)):
            if self._is_there(record, folder):
                return _outcome("kept", record, folder)
        return None

    def make(self, customer: Customer) -> Outcome:
        """Makes a customer's bundle, unless it is there.

        Raises:
            AsrpackError: as a stage raised it; the folder is as it was.
        """
        artifact = Artifact(self._plan.out / customer.name)
        with artifact.exclusive():
            if not self._plan.force and (found := self.kept(customer)):
                return found
            with artifact.workspace() as work:
                return self._make(customer, artifact, work)

    def _make(self, customer: Customer, artifact: Artifact, work: Path) -> Outcome:
        plan, seconds = self._plan, dict[str, float]()
        entries = dict(plan.entries)
        here, cached = (
            Runner(
                plan.locked.build,
                cache,
                plan.digests,
                artifact.logs,
                self._listen,
                entries,
                self._known,
            )
            for cache in (Cache(work), self._cache)
        )
        for node in self._nodes_of(customer):
            began = time.perf_counter()
            runner = cached if node.name in _CACHED else here
            runner.run([Step(node, "run", f"for {customer.name}")])
            seconds[node.name] = time.perf_counter() - began
            if node.name == "gate" and (reasons := _rejected(entries["gate"])):
                lock = self._lock(customer, artifact, entries)
                artifact.discard(LICENCE)
                place_rejected(artifact, lock, plan.locked.loaded.data, entries)
                return Outcome(
                    customer.name, "rejected", artifact.folder, customer.key_id,
                    reasons=reasons, seconds=seconds,
                )  # fmt: skip
        began = time.perf_counter()
        bundle = entries["seal"].path(BUNDLE)
        record, licence = self._record(customer, bundle)
        issued = [] if licence is None else [Issued.of(read_licence(licence, LICENCE))]
        self._registry.add(record, *issued)
        lock = self._lock(customer, artifact, entries)
        place_accepted(artifact, lock, plan.locked.loaded.data, entries)
        # Never a licence beside a bundle that it is not for.
        for name in (LICENCE, REJECTED):
            artifact.discard(name)
        artifact.take(bundle, BUNDLE)
        if licence is not None:
            artifact.write(LICENCE, licence)
        seconds["place"] = time.perf_counter() - began
        return _outcome("made", record, artifact.folder, seconds)

    @cached_property
    def _known(self) -> dict[str, Path]:
        """The same for all customers."""
        plan = self._plan
        return known_baseline(plan.locked, self.nodes["evaluate"], plan.entries, plan.digests)

    def _nodes_of(self, customer: Customer) -> list[Node]:
        """In order, with what is the customer's own."""
        opens = self._escrow if customer.licensed else None
        recipient = customer.recipient if opens is None else public_pem(opens).decode()
        own: dict[str, Mapping[str, Any]] = {
            "watermark": {"customer": customer.name},
            "encrypt": {"recipients": (recipient,)},
        }
        return [
            replace(node, params=node.params.model_copy(update=own.get(name, {})))
            for name, node in self.nodes.items()
        ]

    def _request(self, customer: Customer) -> str:
        """Digest of what the vendor chose; not of asrpack's code, whose next version must not
        replace what was shipped."""
        recipe, nodes = self._plan.locked.loaded.recipe, self.nodes
        marked = self._plan.locked.stages["watermark"]["components"]["inputs"]
        return digest_json(
            {
                "model": [recipe.name, recipe.version, self._plan.locked.build],
                "marked": marked,
                "strength": nodes["watermark"].params.model_dump()["strength"],
                "mark": mark_commitment(self._mark_key, customer.name),
                "gate": nodes["gate"].params.model_dump(),
                "recipient": customer.key_id,
                "escrow": self._escrow.fingerprint if self._escrow and customer.licensed else None,
                "signers": {n: commitment(s.read()) for n, s in nodes["seal"].secrets.items()},
                "terms": [
                    customer.not_before,
                    customer.expires,
                    customer.grace_days,
                    customer.streams,
                    [host.as_dict() for host in customer.hosts],
                ],
            }
        )

    def _is_there(self, record: Record, folder: Path) -> bool:
        try:
            verified = check_bundle(folder / BUNDLE, [public_pem(self._signer)])
            licence = None
            if (folder / LICENCE).exists():
                licence = read_licence((folder / LICENCE).read_bytes(), LICENCE).licence_id
        except (AsrpackError, OSError):
            return False
        return (root_digest(verified.digests), licence) == (record.manifest, record.licence_id)

    def _record(self, customer: Customer, bundle: Path) -> tuple[Record, bytes | None]:
        """What the registry will say of a sealed bundle, and its licence."""
        metadata = BundleMetadata.from_json((bundle / METADATA_FILE).read_bytes())
        payload, *_ = read_signature((bundle / SIGNATURE_FILE).read_bytes())
        manifest = root_digest(read_statement(payload))
        licence, licence_id = None, None
        if customer.licensed:
            subject = LicensedBundle(metadata.bundle_id, manifest)
            licence = self._issue(customer, subject, bundle, metadata.created)
            licence_id = read_licence(licence, LICENCE).licence_id
        (opened_by,) = metadata.recipients
        assert metadata.watermark is not None
        return Record(
            bundle_id=metadata.bundle_id,
            customer=customer.name,
            request=self._request(customer),
            name=metadata.name,
            version=metadata.version,
            build=metadata.build,
            manifest=manifest,
            recipient=customer.key_id,
            opened_by=opened_by,
            signer=self._signer.fingerprint,
            commitment=metadata.watermark,
            mark=mark_commitment(self._mark_key, customer.name),
            licence_id=licence_id,
            created=metadata.created,
        ), licence  # fmt: skip

    def _issue(
        self, customer: Customer, subject: LicensedBundle, bundle: Path, created: str
    ) -> bytes:
        assert self._escrow is not None
        secrets, issued = self.nodes["seal"].secrets, unix_seconds(created)
        signer = _read(secrets["key"], signing_private)
        assert signer is not None
        return issue(
            customer.terms(issued),
            subject,
            open_data_keys((bundle / ENVELOPE_FILE).read_bytes(), self._escrow),
            recipient_public(customer.recipient.encode(), customer.name),
            signer,
            post_quantum=_read(secrets.get("post_quantum"), post_quantum_private),
            issued=issued,
        )

    def _lock(
        self, customer: Customer, artifact: Artifact, entries: Mapping[str, Entry]
    ) -> Mapping[str, Any]:
        plan = self._plan
        loaded = plan.locked.loaded
        own = f"protect.watermark.customer={customer.name}"
        named = replace(loaded, overrides=(*loaded.overrides, own))
        return lock_record(
            named, plan.checked, plan.locked.build, plan.digests, artifact.folder, entries
        )


class _Held(SecretSource):
    """Read once for all customers: a command may ask somebody, a token take its time."""

    def __init__(self, source: SecretSource) -> None:
        super().__init__(source.kind, source.value)
        object.__setattr__(self, "_data", source.read())

    def read(self) -> bytes:
        data: bytes = self._data  # type: ignore[attr-defined]
        return data


def _rejected(entry: Entry) -> tuple[str, ...]:
    verdict = json.loads(entry.path("gate.json").read_bytes())
    return tuple(check["reason"] for check in verdict["checks"] if not check["ok"])


def _outcome(
    status: str, record: Record, folder: Path, seconds: Mapping[str, float] | None = None
) -> Outcome:
    return Outcome(
        record.customer,
        status,
        folder,
        record.recipient,
        record.bundle_id,
        record.manifest,
        record.licence_id,
        seconds=seconds or {},
    )


def _read(source: SecretSource | None, kind: Any) -> Key | None:
    return None if source is None else kind(source.read(), str(source))
