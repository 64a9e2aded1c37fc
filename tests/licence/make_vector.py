"""Makes ``vector.json`` anew: ``python -m tests.licence.make_vector``. Keys for nothing else.

Every field is what a second reader of docs/format.md comes by on its way.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

from asrpack.bundle.host import HostBinding
from asrpack.bundle.keys import public_pem, read_key
from asrpack.bundle.licence import LICENCE_TYPE, read_licence
from asrpack.bundle.licence_body import DAY, LicensedBundle, Terms
from asrpack.bundle.verify import canonical_json, pae
from asrpack.protect.keys import generate
from asrpack.protect.licence import issue
from asrpack.runtime.licence_state import LicenceState, Seen
from tests.licence.vendor import NOW, public_half

VECTOR = Path(__file__).with_name("vector.json")
FACTORS = {"machine-id": "0123456789abcdef0123456789abcdef", "mac": "52:54:00:12:34:56"}


def main() -> None:
    """Writes the file."""
    vendor, customer = generate("signing"), generate("recipient")
    signer, identity = read_key(vendor, "vendor"), read_key(customer, "customer")
    bundle = LicensedBundle("7d1f3bb5-6c0e-4f2a-9d58-1b8a3f0c2e44", hashlib.sha256().hexdigest())
    secret = bytes(range(96))
    host = HostBinding.of(FACTORS, bytes(range(16)), 1)
    terms = Terms("acme", NOW, NOW + 90 * DAY, 14, 4, (host,))
    data = issue(terms, bundle, secret, public_half(identity), signer, issued=NOW)
    licence = read_licence(data, "the vector")
    folder = VECTOR.parent / "vector.part"
    state = LicenceState(folder, bundle.bundle_id, licence.recipient, secret, print)
    state.remember(Seen(licence.sequence, NOW + DAY))
    (remembered,) = folder.iterdir()
    vector = {
        "licence": data.decode(),
        "vendor_public": public_pem(signer).decode(),
        "customer_private": customer.decode(),
        "bundle_id": bundle.bundle_id,
        "manifest": bundle.manifest,
        "body": canonical_json(licence.body()).decode(),
        "info": licence.info.hex(),
        "wrapped": base64.b64encode(licence.wrapped).decode(),
        "secret": secret.hex(),
        "signed": base64.b64encode(pae(licence.payload(), LICENCE_TYPE)).decode(),
        "factors": FACTORS,
        "state_name": remembered.name,
        "state": remembered.read_text(),
    }
    remembered.unlink()
    folder.rmdir()
    VECTOR.write_text(json.dumps(vector, indent=1) + "\n")


if __name__ == "__main__":
    main()
