"""Group 4: who signed what, and how. What a policy asks besides is in its own group."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from asrpack.bundle.keys import Key, signing_private
from asrpack.bundle.verify import PAYLOAD_TYPE, SIGNATURE_FILE, canonical_json, pae
from asrpack.protect.keys import generate
from asrpack.protect.sign import statement as make_statement
from tests.hostile.bundles import read_payload, sign_payload, vendor_key
from tests.hostile.case import Case, in_bundle
from tests.hostile.edits import (
    Break,
    Change,
    dsse,
    outer,
    rewrite,
    signature_bytes,
    statement,
    statement_text,
    unsigned_edit,
)
from tests.licence.vendor import vendor_of

LICENCE = "application/vnd.asrpack.licence+json"


@cache
def _stranger() -> Key:
    return signing_private(generate("signing"), "stranger")


def _by_stranger(bundle: Path) -> None:
    sign_payload(bundle, read_payload(bundle), _stranger())


def _by_stranger_in_the_vendors_name(bundle: Path) -> None:
    material = json.loads((bundle / SIGNATURE_FILE).read_bytes())["verificationMaterial"]
    _by_stranger(bundle)
    outer(lambda raw: raw.update(verificationMaterial=material))(bundle)


def _on_curve(curve: ec.EllipticCurve) -> Break:
    def act(bundle: Path) -> None:
        key = ec.generate_private_key(curve)
        signed = pae(read_payload(bundle))
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        signature_bytes(lambda _: key.sign(signed, ec.ECDSA(hashes.SHA256())))(bundle)
        _hint(hashlib.sha256(pem).hexdigest())(bundle)

    return act


def _raw(sign: Callable[[Path, bytes], bytes]) -> Break:
    """The vendor's hint, and another signature."""
    return lambda bundle: signature_bytes(lambda _: sign(bundle, read_payload(bundle)))(bundle)


def _ecdsa(bundle: Path, signed: bytes, hash_: hashes.HashAlgorithm | None = None) -> bytes:
    signature: bytes = vendor_key(bundle).handle.sign(signed, ec.ECDSA(hash_ or hashes.SHA256()))
    return signature


def _over(make: Callable[[bytes], bytes]) -> Break:
    """The vendor's signature over something near the DSSE encoding."""
    return _raw(lambda bundle, payload: _ecdsa(bundle, make(payload)))


def _pae(payload: bytes, kind: bytes = PAYLOAD_TYPE.encode(), off: int = 0) -> bytes:
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload) + off, payload)


def _numbers(change: Callable[[int, int], tuple[int, int]]) -> Break:
    """The two numbers of the signature."""
    return signature_bytes(
        lambda signature: encode_dss_signature(*change(*decode_dss_signature(signature)))
    )


def _der(number: int, *, extra: bytes = b"") -> bytes:
    raw = extra + number.to_bytes((number.bit_length() + 8) // 8, "big")
    return b"\x02" + bytes([len(raw)]) + raw


def _sequence(*parts: bytes) -> bytes:
    body = b"".join(parts)
    return b"\x30" + bytes([len(body)]) + body


def _padded(signature: bytes) -> bytes:
    """A zero more before r: BER, not DER."""
    r, s = decode_dss_signature(signature)
    return _sequence(_der(r, extra=b"\0"), _der(s))


def _long_length(signature: bytes) -> bytes:
    """The length in two bytes where one is enough."""
    return b"\x30\x81" + signature[1:]


def _indefinite(signature: bytes) -> bytes:
    return b"\x30\x80" + signature[2:] + b"\0\0"


def _three(signature: bytes) -> bytes:
    r, s = decode_dss_signature(signature)
    return _sequence(_der(r), _der(s), _der(s))


def _minus(signature: bytes) -> bytes:
    """r without the zero that keeps it positive, or with its sign set."""
    r, s = decode_dss_signature(signature)
    raw = r.to_bytes(32, "big")
    return _sequence(b"\x02\x20" + bytes([raw[0] | 0x80]) + raw[1:], _der(s))


def _ieee(signature: bytes) -> bytes:
    r, s = decode_dss_signature(signature)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _keyid(raw: dict[str, Any]) -> None:
    raw["dsseEnvelope"]["signatures"][0]["keyid"] = "x"


def _hint(text: str) -> Break:
    return outer(lambda raw: raw["verificationMaterial"]["publicKey"].update(hint=text))


def _another_bundle(bundle: Path) -> None:
    """A sound signature of the same vendor, over other files."""
    statement(lambda raw: raw["predicate"]["resources"][0].update(digest="0" * 64))(bundle)
    payload = json.loads(read_payload(bundle))
    digests = {item["name"]: "0" * 64 for item in payload["predicate"]["resources"]}
    sign_payload(bundle, canonical_json(make_statement("digits", digests)))


def _another_product(bundle: Path) -> None:
    """Something else that the same vendor signed, well-formed but no bundle."""
    (bundle / "asrpack.json").unlink()
    digests = {
        path.relative_to(bundle).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in bundle.rglob("*")
        if path.is_file() and path.name != SIGNATURE_FILE
    }
    sign_payload(bundle, canonical_json(make_statement("other", digests)))


def _licence(sealed: Any) -> None:
    """The vendor's licence in the signature's place: signed by the right key."""
    (sealed.path / SIGNATURE_FILE).write_bytes(vendor_of(sealed).issue())


def _licence_as_payload(sealed: Any) -> None:
    """Its payload and signature, in the shape of a bundle's signature."""
    licence = json.loads(vendor_of(sealed).issue())
    fields = {"payload": licence["payload"]}
    dsse(**fields)(sealed.path)
    signature_bytes(lambda _: base64.b64decode(licence["signatures"][0]["sig"]))(sealed.path)


def _entries(change: Callable[[list[Any]], list[Any]]) -> Break:
    def act(raw: dict[str, Any]) -> None:
        raw["dsseEnvelope"]["signatures"] = change(raw["dsseEnvelope"]["signatures"])

    return outer(act)


def _material(**fields: Any) -> Break:
    return outer(lambda raw: raw.update(verificationMaterial=fields))


def _text(change: Change) -> Break:
    return rewrite(SIGNATURE_FILE, change)


_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

_BY_OTHERS: dict[str, tuple[Break, str]] = {
    "another key": (_by_stranger, "signer-untrusted"),
    "another key with the vendor's hint": (_by_stranger_in_the_vendors_name, "signature-invalid"),
    "P-384": (_on_curve(ec.SECP384R1()), "signer-untrusted"),
    "another curve of 256 bits": (_on_curve(ec.SECP256K1()), "signer-untrusted"),
    "no hint": (_hint(""), "signer-untrusted"),
    "hint in capitals": (_hint("A" * 64), "signer-untrusted"),
    "hint of a megabyte": (_hint("a" * (1 << 20)), "signer-untrusted"),
}
_INVALID: dict[str, Break] = {
    "another number": _numbers(lambda r, s: (r, s + 1)),
    "numbers exchanged": _numbers(lambda r, s: (s, r)),
    "zeros": _numbers(lambda r, s: (0, 0)),
    "r is zero": _numbers(lambda r, s: (0, s)),
    "s is zero": _numbers(lambda r, s: (r, 0)),
    "r is the order": _numbers(lambda r, s: (_P256_ORDER, s)),
    "s over the order": _numbers(lambda r, s: (r, s + _P256_ORDER)),
    "ones": _numbers(lambda r, s: (1, 1)),
    "3000 bits": _numbers(lambda r, s: (1 << 3000, 1 << 3000)),
    "statement changed, not signed": unsigned_edit,
    "length one too many": _over(lambda payload: _pae(payload, off=1)),
    "length one too few": _over(lambda payload: _pae(payload, off=-1)),
    "the statement itself": _over(lambda payload: payload),
    "its digest": _over(lambda payload: hashlib.sha256(payload).digest()),
    "base64 of it": _over(lambda payload: _pae(base64.b64encode(payload))),
    "a line end more": _over(lambda payload: _pae(payload + b"\n")),
    "another version of DSSE": _over(lambda payload: b"DSSEv2" + pae(payload)[6:]),
    "another payload type inside": _over(lambda payload: _pae(payload, b"text/plain")),
    "type of a licence inside": _over(lambda payload: _pae(payload, LICENCE.encode())),
    "SHA-384": _raw(lambda b, payload: _ecdsa(b, pae(payload), hashes.SHA384())),
    "SHA-1": _raw(lambda b, payload: _ecdsa(b, pae(payload), hashes.SHA1())),
    "of ML-DSA's length": signature_bytes(lambda _: bytes(3309)),
}
_ENCODING: dict[str, Break] = {
    "something behind it": signature_bytes(lambda s: s + b"\0"),
    "cut short": signature_bytes(lambda s: s[:-1]),
    "nothing": signature_bytes(lambda s: b""),
    "empty sequence": signature_bytes(lambda s: b"\x30\x00"),
    "BER: a zero more": signature_bytes(_padded),
    "BER: a long length": signature_bytes(_long_length),
    "BER: no length": signature_bytes(_indefinite),
    "three numbers": signature_bytes(_three),
    "a negative number": signature_bytes(_minus),
    "two numbers of 32 bytes": signature_bytes(_ieee),
    "a length of 4 GB": signature_bytes(lambda s: b"\x30\x84\xff\xff\xff\xff" + s[2:]),
    "a megabyte": signature_bytes(lambda s: s * 14_000),
    "RSA": _raw(
        lambda b, payload: rsa.generate_private_key(65537, 2048).sign(
            pae(payload), padding.PKCS1v15(), hashes.SHA256()
        )
    ),
    "Ed25519": _raw(lambda b, p: ed25519.Ed25519PrivateKey.generate().sign(pae(p))),
    "not base64": _entries(lambda items: [{**items[0], "sig": "*"}]),
    "base64 without padding": _entries(lambda i: [{**i[0], "sig": i[0]["sig"].rstrip("=") + "A"}]),
    "base64 with a line end": _entries(lambda i: [{**i[0], "sig": i[0]["sig"] + "\n"}]),
    "base64 for URLs": _entries(lambda i: [{**i[0], "sig": "_" + i[0]["sig"][1:]}]),
    "base64 of the payload with a line end": dsse(payload="e30=\n"),
    "base64 of the payload with spare bits": dsse(payload="e31="),
    "base64 of the payload without padding": dsse(payload="e30"),
    "base64 of the payload twice": dsse(payload="e30=e30="),
}
_FORM: dict[str, tuple[Break, str]] = {
    "two signatures": (_entries(lambda items: items * 2), "signature-count"),
    "two signatures, the first a stranger's": (
        _entries(lambda items: [{**items[0], "sig": "MAA="}, *items]), "signature-count"),
    "10,000 signatures": (_entries(lambda items: items * 10_000), "signature-count"),
    "no signature": (_entries(lambda items: []), "signature-count"),
    "no list of signatures": (dsse(signatures=None), "signature-format"),
    "signature null": (_entries(lambda items: [None]), "signature-format"),
    "a key id": (outer(_keyid), "signature-format"),
    "a key id null": (_entries(lambda items: [{**items[0], "keyid": None}]), "signature-format"),
    "another payload type": (dsse(payloadType="text/plain"), "signature-payload-type"),
    "payload type of a licence": (dsse(payloadType=LICENCE), "signature-payload-type"),
    "payload type in capitals": (dsse(payloadType=PAYLOAD_TYPE.upper()), "signature-payload-type"),
    "payload type of a megabyte": (
        dsse(payloadType="\u202e" * (1 << 18)), "signature-payload-type"),
    "another media type": (outer(lambda raw: raw.update(mediaType="x")), "signature-media-type"),
    "an older media type": (
        outer(lambda raw: raw.update(
            mediaType="application/vnd.dev.sigstore.bundle+json;version=0.3")),
        "signature-media-type"),
    "a field more": (outer(lambda raw: raw.update(more=1)), "signature-format"),
    "a message's signature besides": (
        outer(lambda raw: raw.update(messageSignature={})), "signature-format"),
    "a certificate": (_material(certificate={"rawBytes": "AAAA"}), "signature-format"),
    "a certificate besides": (
        outer(lambda raw: raw["verificationMaterial"].update(certificate={})), "signature-format"),
    "a chain of certificates": (
        _material(x509CertificateChain={"certificates": []}), "signature-format"),
    "no key": (_material(), "signature-format"),
    "a key's bytes": (
        outer(lambda raw: raw["verificationMaterial"]["publicKey"].update(rawBytes="AAAA")),
        "signature-format"),
    "a log entry": (
        outer(lambda raw: raw["verificationMaterial"].update(tlogEntries=[{}])),
        "signature-format"),
    "a timestamp": (
        outer(lambda raw: raw["verificationMaterial"].update(timestampVerificationData={})),
        "signature-format"),
    "the payload null": (dsse(payload=None), "signature-format"),
    "the payload an object": (dsse(payload={}), "signature-format"),
    "PEM": (_text(lambda data: b"-----BEGIN PGP SIGNATURE-----\n"), "json-syntax"),
    "binary": (_text(lambda data: bytes(range(256))), "json-encoding"),
}  # fmt: skip
_STATEMENT: dict[str, tuple[Break, str]] = {
    "another statement": (statement(lambda raw: raw.update(_type="x")), "statement-type"),
    "an older statement": (
        statement(lambda raw: raw.update(_type="https://in-toto.io/Statement/v0.1")),
        "statement-type"),
    "a deprecated predicate": (
        statement(lambda raw: raw.update(predicateType="https://model_signing/Digests/v0.1")),
        "predicate-type"),
    "another deprecated predicate": (
        statement(lambda raw: raw.update(predicateType="https://model_signing/signature/v0.1")),
        "predicate-type"),
    "a later predicate": (
        statement(lambda raw: raw.update(predicateType="https://model_signing/signature/v1.1")),
        "predicate-type"),
    "a predicate of provenance": (
        statement(lambda raw: raw.update(predicateType="https://slsa.dev/provenance/v1")),
        "predicate-type"),
    "a predicate with a slash more": (
        statement(lambda raw: raw.update(predicateType=raw["predicateType"] + "/")),
        "predicate-type"),
    "a field more in the predicate": (
        statement(lambda raw: raw["predicate"].update(more=1)), "statement-format"),
    "no predicate": (statement(lambda raw: raw.pop("predicate")), "statement-format"),
    "not JSON": (statement_text(lambda payload: b"README.md"), "json-syntax"),
    "empty": (statement_text(lambda payload: b""), "json-syntax"),
    "files of another bundle": (_another_bundle, "changed-file"),
    "another product of the vendor": (_another_product, "not-a-bundle"),
}  # fmt: skip

CASES = [
    *(Case(f"signed by {name}", in_bundle(act), code) for name, (act, code) in _BY_OTHERS.items()),
    *(
        Case(f"not valid: {name}", in_bundle(act), "signature-invalid")
        for name, act in _INVALID.items()
    ),
    *(
        Case(f"encoding: {name}", in_bundle(act), "signature-encoding")
        for name, act in _ENCODING.items()
    ),
    *(Case(f"form: {name}", in_bundle(act), code) for name, (act, code) in _FORM.items()),
    *(Case(f"signs {name}", in_bundle(act), code) for name, (act, code) in _STATEMENT.items()),
    Case("a licence in its place", _licence, "signature-format"),
    Case("a licence's payload and signature", _licence_as_payload, "signature-invalid"),
]
