"""Each step of opening an envelope, from docs/format.md and primitives alone.

Shares no code with asrpack: it is what the vectors' values between the steps come from.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.serialization import load_pem_private_key

KEMS = {"x25519": 0x0020, "x-wing": 0x647A}


def pem_body(text: str) -> bytes:
    """The bytes in a PEM block."""
    return base64.b64decode("".join(text.splitlines()[1:-1]))


def expand(key: bytes, info: bytes, size: int, hash_name: str) -> bytes:
    """HKDF-Expand (RFC 5869)."""
    out, block = b"", b""
    for counter in range(1, 256):
        if len(out) >= size:
            break
        block = hmac.digest(key, block + info + bytes([counter]), hash_name)
        out += block
    return out[:size]


def _labeled_extract(suite: bytes, salt: bytes, label: bytes, value: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + value, "sha256")


def _labeled_expand(suite: bytes, key: bytes, label: bytes, info: bytes, size: int) -> bytes:
    labeled = size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return expand(key, labeled, size, "sha256")


def decapsulate(kem: str, private: str, enc: bytes) -> bytes:
    """The KEM's shared secret: DHKEM(X25519, HKDF-SHA256) of RFC 9180, or X-Wing."""
    if kem == "x-wing":
        expanded = hashlib.shake_256(pem_body(private)).digest(96)
        lattice = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        curve = X25519PrivateKey.from_private_bytes(expanded[64:])
        agreed = curve.exchange(X25519PublicKey.from_public_bytes(enc[1088:]))
        public = curve.public_key().public_bytes_raw()
        label = bytes.fromhex("5c2e2f2f5e5c")
        parts = (lattice.decapsulate(enc[:1088]), agreed, enc[1088:], public, label)
        return hashlib.sha3_256(b"".join(parts)).digest()
    key = load_pem_private_key(private.encode(), None)
    assert isinstance(key, X25519PrivateKey)
    agreed = key.exchange(X25519PublicKey.from_public_bytes(enc))
    suite = b"KEM" + KEMS[kem].to_bytes(2, "big")
    extracted = _labeled_extract(suite, b"", b"eae_prk", agreed)
    context = enc + key.public_key().public_bytes_raw()
    return _labeled_expand(suite, extracted, b"shared_secret", context, 32)


def key_schedule(kem: str, shared_secret: bytes, info: bytes) -> tuple[bytes, bytes]:
    """HPKE's key and base nonce in mode base (RFC 9180, section 5.1)."""
    suite = b"HPKE" + b"".join(n.to_bytes(2, "big") for n in (KEMS[kem], 1, 2))
    context = b"\0" + b"".join(
        _labeled_extract(suite, b"", label, value)
        for label, value in ((b"psk_id_hash", b""), (b"info_hash", info))
    )
    secret = _labeled_extract(suite, shared_secret, b"secret", b"")
    return (
        _labeled_expand(suite, secret, b"key", context, 32),
        _labeled_expand(suite, secret, b"base_nonce", context, 12),
    )


def payload_keys(
    data_key: bytes, salt: bytes, context: bytes, hash_name: str = "sha512"
) -> tuple[bytes, bytes, bytes]:
    """Key, base nonce and commitment of a payload; of Cobblestone-256 with SHA-512."""
    info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0" + salt + context
    out = expand(data_key, info, 76, hash_name)
    return out[:32], out[32:44], out[44:]


def chunk_nonce(base_nonce: bytes, number: int) -> bytes:
    """The nonce of one chunk."""
    return (int.from_bytes(base_nonce, "big") ^ number).to_bytes(12, "big")


def split_chunks(payload: bytes) -> list[bytes]:
    """The encrypted chunks of a payload, the last perhaps of any length."""
    body = payload[56:]
    return [body[start : start + 16400] for start in range(0, len(body) or 1, 16400)]


def payload_files(entry: dict[str, Any]) -> dict[str, str]:
    """Where the payloads of one of the header's files lie, by what their context calls them."""
    path, part = entry["path"], entry.get("part_size")
    if part is None:
        return {path: f"model/{path}.enc"}
    numbers = range((entry["size"] + part - 1) // part)
    return {f"{path}/{n:04d}": f"model/{path}.enc.{n:04d}" for n in numbers}


def decrypt_payload(
    payload: bytes, data_key: bytes, context: bytes, hash_name: str = "sha512"
) -> bytes:
    """The plaintext of a payload; ValueError or InvalidTag where it is not one."""
    key, base_nonce, commitment = payload_keys(data_key, payload[:24], context, hash_name)
    if len(data_key) != 32 or payload[24:56] != commitment:
        raise ValueError("the commitment differs")
    chunks = split_chunks(payload)
    plain = b"".join(
        AESGCM(key).decrypt(chunk_nonce(base_nonce, number), chunk, None)
        for number, chunk in enumerate(chunks)
    )
    if len(chunks[-1]) == 16400:
        raise ValueError("cut short")
    return plain


def unwrap(entry: dict[str, Any], private: str, info: bytes) -> tuple[bytes, dict[str, str]]:
    """The secret of one recipient's entry, and the values on the way, hexadecimal."""
    wrapped = base64.b64decode(entry["wrapped"])
    if entry["kem"] == "argon2id":
        key = Argon2id(
            salt=bytes.fromhex(entry["kid"]),
            length=32,
            iterations=entry["passes"],
            lanes=entry["lanes"],
            memory_cost=entry["memory"],
        ).derive(private.encode())
        return decrypt_payload(wrapped, key, info), {"derived_key": key.hex()}
    size = {"x25519": 32, "x-wing": 1120}[entry["kem"]]
    shared = decapsulate(entry["kem"], private, wrapped[:size])
    key, nonce = key_schedule(entry["kem"], shared, info)
    steps = {"shared_secret": shared.hex(), "key": key.hex(), "base_nonce": nonce.hex()}
    return AESGCM(key).decrypt(nonce, wrapped[size:], None), steps
