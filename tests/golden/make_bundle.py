"""How the bundles kept in this folder were made: ``python -m tests.golden.make_bundle FOLDER``.

Run once for each. What is kept is never made anew: customers have bundles like it, and this is how
we know that theirs still open. A new form of bundle gets a folder of its own beside it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from asrpack.bundle import verify
from asrpack.bundle.keys import (
    Key,
    any_signing_private,
    public_pem,
    recipient_private,
    recipient_public,
    signing_private,
)
from asrpack.bundle.licence_body import Terms
from asrpack.bundle.secrets import SecretSource
from asrpack.protect.encrypt import encrypt_files
from asrpack.protect.keys import generate, write_public
from asrpack.protect.licence import issue, open_for_licensing
from asrpack.protect.sign import countersign, sign_tree
from asrpack.protect.trust import add_signer, new_policy, policy_bytes, require_countersigner
from tests.hostile.bundles import metadata

PASSPHRASE = "korrekt Pferd Batterie Heftklammer"


def graph() -> bytes:
    """ONNX: ``y = x W`` with W of 32 x 32 float32, ``W[i, j] = (7 i + 3 j) mod 11``."""
    rows, columns = np.indices((32, 32))
    weights = ((7 * rows + 3 * columns) % 11).astype(np.float32)
    body = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "golden",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["T", 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["T", 32])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def make(folder: Path) -> None:
    """Fills ``folder``, which must not exist. The vendor's private keys are not kept."""
    bundle, keys = folder / "bundle", folder / "keys"
    (bundle / "model").mkdir(parents=True)
    keys.mkdir()
    vendor = signing_private(generate("signing"), "vendor")
    lattice = any_signing_private(generate("signing-pq"), "vendor's ML-DSA key")
    auditor = any_signing_private(generate("signing", curve="p384"), "auditor")
    for key, name in ((vendor, "vendor"), (lattice, "vendor-ml-dsa"), (auditor, "auditor")):
        write_public(key, keys / f"{name}.pub")
    x_wing = _recipient(keys / "x-wing.key", generate("recipient"))
    x25519 = _recipient(keys / "x25519.key", generate("recipient", "x25519"))
    licensee = _recipient(keys / "licensee.key", generate("recipient"))
    (keys / "passphrase").write_text(PASSPHRASE + "\n", encoding="utf-8")
    source = SecretSource.parse(f"passphrase:{keys}/passphrase")
    plaintexts = {
        "encoder.onnx": graph(),
        "decoder.onnx": bytes(range(256)) * 128,  # in two parts of a full chunk
        "model.json": b'{"golden":1}',
        "ngram.lm": b"",
    }
    envelope = encrypt_files(
        plaintexts,
        [_public(x_wing), _public(x25519), recipient_private(source.read(), "passphrase")],
        vendor.public_bytes,
        bundle / "model",
        part_size=16384,
    )
    (bundle / "asrpack.json").write_bytes(metadata(envelope).to_json())
    (bundle / "README.md").write_text("A bundle of asrpack's tests.\n")
    (bundle / "runtime").mkdir()
    (bundle / "runtime" / "模型.txt").write_text("a name beyond ASCII\n", encoding="utf-8")
    shutil.copyfile(verify.__file__, bundle / "verify.py")
    sign_tree(bundle, vendor, "digits-1.0.0-cpu", [lattice])
    countersign(bundle, auditor, [public_pem(vendor)])
    _policy(folder / "policy.json", vendor, lattice, auditor)
    subject, secret, _ = open_for_licensing(bundle, x25519)
    terms = Terms("golden-customer", not_before=1_750_000_000, streams=4)
    licence = issue(terms, subject, secret, _public(licensee), vendor, post_quantum=lattice)
    (folder / "licence.json").write_bytes(licence)
    expected = {
        "bundle_id": envelope.header.bundle_id,
        "files": {path: hashlib.sha256(data).hexdigest() for path, data in plaintexts.items()},
        "signatures": [key.fingerprint for key in (vendor, lattice, auditor)],
        "statement": hashlib.sha256(
            verify.verify_bundle(bundle, [public_pem(vendor)]).statement
        ).hexdigest(),
    }
    text = json.dumps(expected, indent=2, sort_keys=True)
    (folder / "expected.json").write_text(text + "\n", encoding="utf-8")


def _policy(path: Path, vendor: Key, lattice: Key, auditor: Key) -> None:
    document = new_policy()
    add_signer(document, "vendor", public_pem(vendor), public_pem(lattice))
    require_countersigner(document, "auditor", public_pem(auditor))
    path.write_bytes(policy_bytes(document))


def _recipient(path: Path, text: bytes) -> Key:
    path.write_bytes(text)
    return recipient_private(text, str(path))


def _public(key: Key) -> Key:
    return recipient_public(public_pem(key), "public half")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
