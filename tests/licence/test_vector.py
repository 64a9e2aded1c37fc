"""A licence that was issued once stays readable: ``vector.json``, step by step."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

from asrpack.bundle.keys import recipient_private
from asrpack.bundle.licence import LICENCE_TYPE, LockedBundle, verify_licence
from asrpack.bundle.licence_body import LicensedBundle
from asrpack.bundle.verify import canonical_json, pae
from asrpack.runtime.licence_state import LicenceState, Seen
from tests.licence.make_vector import VECTOR
from tests.licence.vendor import NOW

VALUES = json.loads(VECTOR.read_bytes())


def test_it_opens() -> None:
    locked = LockedBundle(
        LicensedBundle(VALUES["bundle_id"], VALUES["manifest"]),
        created=NOW,
        keys=3,
        trust=(VALUES["vendor_public"].encode(),),
        identity=recipient_private(VALUES["customer_private"].encode(), "the vector"),
    )
    licence, secret = locked.open(VALUES["licence"].encode(), "the vector")
    assert secret.hex() == VALUES["secret"]
    assert licence.terms.customer == "acme" and licence.terms.streams == 4


def test_its_steps() -> None:
    trust = [VALUES["vendor_public"].encode()]
    licence = verify_licence(VALUES["licence"].encode(), trust, "the vector")
    assert canonical_json(licence.body()).decode() == VALUES["body"]
    assert hashlib.sha256(VALUES["body"].encode()).hexdigest() == VALUES["info"]
    assert base64.b64encode(licence.wrapped).decode() == VALUES["wrapped"]
    assert pae(licence.payload(), LICENCE_TYPE) == base64.b64decode(VALUES["signed"])
    (host,) = licence.terms.hosts
    factors = {kind: (value,) for kind, value in VALUES["factors"].items()}
    assert host.matching(factors) == ("mac", "machine-id")


def test_what_a_host_remembered(tmp_path: Path) -> None:
    (tmp_path / VALUES["state_name"]).write_text(VALUES["state"])
    trust = [VALUES["vendor_public"].encode()]
    licence = verify_licence(VALUES["licence"].encode(), trust, "the vector")
    warnings: list[str] = []
    state = LicenceState(
        tmp_path, VALUES["bundle_id"], licence.recipient, bytes.fromhex(VALUES["secret"]),
        warnings.append,
    )  # fmt: skip
    assert state.seen == Seen(licence.sequence, NOW + 86400) and warnings == []
