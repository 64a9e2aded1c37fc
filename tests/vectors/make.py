"""Makes a vector file: a small bundle of fixed keys and contents, and every value of opening it.

Keys and plaintexts are always the same. What asrpack draws is not (salts, encapsulations, the
signature's nonce), so two files differ, and each is good for ever.
"""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from asrpack.bundle.keys import (
    XWING_PRIVATE,
    armour,
    public_pem,
    read_key,
    recipient_private,
    recipient_public,
    signing_private,
)
from asrpack.bundle.payload import PART_SIZE
from asrpack.bundle.secrets import SecretSource
from asrpack.bundle.verify import canonical_json
from asrpack.protect.encrypt import encrypt_files
from asrpack.protect.sign import sign_tree
from tests.hostile.bundles import metadata
from tests.vectors import steps

BUNDLE_ID = "6b1f7a52-0c7e-4d0b-9d5c-3f3a4e0c8d21"
PASSPHRASE = "zwölf Boxkämpfer jagen Viktor"
# No chunk is full, one is, one is and the last is empty.
PLAINTEXTS = {
    "encoder.onnx": bytes(i * i % 251 for i in range(17_000)),
    "decoder.onnx": bytes(range(256)) * 64,
    "model.json": b'{"a":"model"}',
    "ngram.lm": b"",
}


def make(part_size: int = PART_SIZE) -> dict[str, Any]:
    """All of a vector file; larger files than ``part_size`` are in parts."""
    keys = _keys()
    signer = signing_private(keys["signing"].encode(), "signing")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "bundle"
        (root / "model").mkdir(parents=True)
        (root / "README.md").write_text("A bundle of test vectors.\n")
        (Path(folder) / "phrase").write_text(PASSPHRASE + "\n", encoding="utf-8")
        phrase = SecretSource.parse(f"passphrase:{folder}/phrase").read()
        recipients = [
            recipient_public(public_pem(recipient_private(keys[kem].encode(), kem)), kem)
            for kem in ("x-wing", "x25519")
        ]
        recipients.append(recipient_private(phrase, "phrase"))
        envelope = encrypt_files(
            dict(PLAINTEXTS),
            recipients,
            signer.public_bytes,
            root / "model",
            bundle_id=BUNDLE_ID,
            part_size=part_size,
        )
        (root / "asrpack.json").write_bytes(metadata(envelope).to_json())
        sign_tree(root, signer, "vectors-1.0.0-cpu")
        bundle = {
            str(path.relative_to(root)): base64.b64encode(path.read_bytes()).decode()
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }
    return {
        "format": "asrpack-envelope/1",
        "keys": keys,
        "public": {
            name: public_pem(read_key(keys[name].encode(), name)).decode()
            for name in ("signing", "x-wing", "x25519")
        },
        "bundle": bundle,
        "plaintexts": {
            path: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for path, data in PLAINTEXTS.items()
        },
        **opened(bundle, keys),
    }


def opened(bundle: dict[str, str], keys: dict[str, str]) -> dict[str, Any]:
    """What each step gives, by :mod:`tests.vectors.steps`."""
    raw = json.loads(base64.b64decode(bundle["model/envelope.json"]))
    header = raw["header"]
    info = hashlib.sha256(canonical_json(header)).digest()
    recipients, secret = [], b""
    for entry in raw["recipients"]:
        secret, values = steps.unwrap(entry, keys[entry["kem"]], info)
        recipients.append({"kid": entry["kid"], "kem": entry["kem"], **values})
    payloads = {}
    for number, item in enumerate(header["files"]):
        data_key = secret[32 * number : 32 * (number + 1)]
        for place, file in steps.payload_files(item).items():
            context = f"{header['bundle_id']}|{place}|1"
            payload = base64.b64decode(bundle[file])
            key, nonce, commitment = steps.payload_keys(data_key, payload[:24], context.encode())
            payloads[place] = {
                "data_key": data_key.hex(),
                "context": context,
                "key": key.hex(),
                "base_nonce": nonce.hex(),
                "commitment": commitment.hex(),
            }
    return {
        "info": info.hex(),
        "secret": secret.hex(),
        "recipients": recipients,
        "payloads": payloads,
    }


def _keys() -> dict[str, str]:
    def seed(name: str) -> bytes:
        return hashlib.sha256(f"asrpack test vector {name}".encode()).digest()

    signing = ec.derive_private_key(int.from_bytes(seed("signing"), "big") >> 1, ec.SECP256R1())
    curve = x25519.X25519PrivateKey.from_private_bytes(seed("x25519"))
    keys = {
        name: key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        for name, key in (("signing", signing), ("x25519", curve))
    }
    keys["x-wing"] = armour(XWING_PRIVATE, seed("x-wing")).decode()
    keys["argon2id"] = PASSPHRASE
    return keys
