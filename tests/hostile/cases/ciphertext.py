"""Group 6: ciphertexts and the envelope.

Each fault comes twice. Done by somebody else, the signature does not fit any more, and everybody
sees that. Signed by the vendor, too, or by whoever has the vendor's key, it must be seen when the
bundle is opened; the stand-alone verifier has no key to open it with.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from asrpack.bundle.envelope import (
    MAX_RECIPIENTS,
    EncryptedFile,
    Envelope,
    Header,
    open_envelope,
)
from asrpack.bundle.keys import recipient_private, recipient_public
from asrpack.protect.encrypt import encrypt_files, wrap_for
from tests.hostile.bundles import SealedBundle
from tests.hostile.case import (
    ALONE,
    KEY,
    OPENERS,
    READERS,
    UNPINNED,
    Case,
    in_bundle,
)
from tests.hostile.edits import (
    DECODER,
    ENCODER,
    ENVELOPE,
    METADATA,
    Break,
    Change,
    edit_json,
    exchange,
    rewrite,
    then_signed,
)

HEAD, CHUNK = 56, 16384 + 16
"""Bytes before the first chunk, and of a chunk with its tag (docs/format.md)."""


def _chunks(change: Callable[[list[bytes]], list[bytes]]) -> Change:
    def act(data: bytes) -> bytes:
        chunks = [data[i : i + CHUNK] for i in range(HEAD, len(data), CHUNK)]
        return data[:HEAD] + b"".join(change(chunks))

    return act


def _flip(offset: int) -> Change:
    def act(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[offset] ^= 1
        return bytes(changed)

    return act


def _chunk_from_elsewhere(bundle: Path) -> None:
    """The decoder's first chunk in the place of the encoder's."""
    other = (bundle / DECODER).read_bytes()[HEAD:]
    rewrite(ENCODER, _chunks(lambda chunks: [other, *chunks[1:]]))(bundle)


def _head_from_elsewhere(bundle: Path) -> None:
    other = (bundle / DECODER).read_bytes()[:HEAD]
    rewrite(ENCODER, lambda data: other + data[HEAD:])(bundle)


def _in_the_clear(bundle: Path) -> None:
    (bundle / ENCODER).write_bytes(b"a model that was never encrypted")


_PAYLOADS: dict[str, Break] = {
    "nothing": rewrite(ENCODER, lambda data: b""),
    "salt only": rewrite(ENCODER, lambda data: data[:24]),
    "head cut short": rewrite(ENCODER, lambda data: data[: HEAD - 1]),
    "head only": rewrite(ENCODER, lambda data: data[:HEAD]),
    "cut after a chunk": rewrite(ENCODER, lambda data: data[: HEAD + CHUNK]),
    "last chunk missing": rewrite(ENCODER, _chunks(lambda chunks: chunks[:-1])),
    "cut in a chunk": rewrite(ENCODER, lambda data: data[: HEAD + CHUNK + 100]),
    "cut in a tag": rewrite(ENCODER, lambda data: data[:-1]),
    "first chunk missing": rewrite(ENCODER, _chunks(lambda chunks: chunks[1:])),
    "chunks exchanged": rewrite(
        ENCODER, _chunks(lambda chunks: [chunks[1], chunks[0], *chunks[2:]])
    ),
    "chunks turned around": rewrite(ENCODER, _chunks(lambda chunks: chunks[::-1])),
    "a chunk twice": rewrite(ENCODER, _chunks(lambda chunks: [chunks[0], *chunks])),
    "the last chunk twice": rewrite(ENCODER, _chunks(lambda chunks: [*chunks, chunks[-1]])),
    "a chunk left out": rewrite(ENCODER, _chunks(lambda chunks: [chunks[0], *chunks[2:]])),
    "everything twice": rewrite(ENCODER, lambda data: data * 2),
    "a byte more": rewrite(ENCODER, lambda data: data + b"\0"),
    "a bit of the salt": rewrite(ENCODER, _flip(0)),
    "a bit of the commitment": rewrite(ENCODER, _flip(30)),
    "a bit of the first chunk": rewrite(ENCODER, _flip(HEAD)),
    "a bit of a tag": rewrite(ENCODER, _flip(HEAD + CHUNK - 1)),
    "a bit of the last tag": rewrite(ENCODER, _flip(-1)),
    "a chunk of another file": _chunk_from_elsewhere,
    "the head of another file": _head_from_elsewhere,
    "files exchanged": exchange(ENCODER, DECODER),
    "one file twice": rewrite(DECODER, lambda data: data[:HEAD]),
    "never encrypted": _in_the_clear,
}


# -- The envelope ----------------------------------------------------------------------------------


def _envelope(change: Callable[[dict[str, Any]], object]) -> Break:
    return edit_json(ENVELOPE, change)


def _header(**fields: Any) -> Break:
    return _envelope(lambda raw: raw["header"].update(fields))


def _file(**fields: Any) -> Break:
    return _envelope(lambda raw: raw["header"]["files"][0].update(fields))


def _recipient(**fields: Any) -> Break:
    return _envelope(lambda raw: raw["recipients"][0].update(fields))


def _passphrase(count: int = 1, **fields: Any) -> Break:
    """Entries of passphrases, with these costs."""

    def change(raw: dict[str, Any]) -> None:
        wrapped = base64.b64encode(bytes(72 + 32 * len(raw["header"]["files"]))).decode()
        cost = {"memory": 65536, "passes": 3, "lanes": 4} | fields
        raw["recipients"] += [
            {"kid": f"{number:064x}", "kem": "argon2id", **cost, "wrapped": wrapped}
            for number in range(count)
        ]
        raw["recipients"].sort(key=lambda item: item["kid"])

    return _envelope(change)


def _of(kem: str, change: Callable[[bytes], bytes]) -> Break:
    """What is wrapped for one kind of key."""

    def act(raw: dict[str, Any]) -> None:
        for item in raw["recipients"]:
            if item["kem"] == kem:
                changed = change(base64.b64decode(item["wrapped"]))
                item["wrapped"] = base64.b64encode(changed).decode()

    return _envelope(act)


def _share(share: bytes) -> Change:
    """X25519's share; of X-Wing it comes after ML-KEM's 1088 bytes."""
    return lambda data: share + data[32:]


def _wing_share(share: bytes) -> Change:
    return lambda data: data[:1088] + share + data[1120:]


def _exchanged(raw: dict[str, Any]) -> None:
    """The two recipients' entries under each other's id."""
    first, second = raw["recipients"]
    first["kid"], second["kid"] = second["kid"], first["kid"]
    raw["recipients"].sort(key=lambda item: item["kid"])


def _rewrapped(change: Callable[[Header], Header], swap: bool = False) -> Break:
    """The vendor wraps the data keys again, for another header."""

    def act(bundle: Path) -> None:
        folder = bundle.parent
        names = ("customer", "old")
        escrow = recipient_private((folder / "old.key").read_bytes(), "old.key")
        data = (bundle / ENVELOPE).read_bytes()
        keys = open_envelope(data, escrow)
        header = change(Envelope.from_json(data).header)
        paths = [item.path for item in header.files]
        ordered = [keys.get(path, bytes(32)) for path in paths]
        secret = b"".join(reversed(ordered) if swap else ordered)
        publics = [recipient_public((folder / f"{n}.pub").read_bytes(), n) for n in names]
        envelope = Envelope(header, wrap_for(publics, secret, header))
        (bundle / ENVELOPE).write_bytes(envelope.to_json())

    return act


def _sizes(by: int) -> Callable[[Header], Header]:
    return lambda header: replace(
        header, files=tuple(replace(item, size=item.size + by) for item in header.files)
    )


def _parted(header: Header) -> Header:
    first = replace(header.files[0], size=1 << 20, part_size=16384)
    return replace(header, files=(first, *header.files[1:]))


def _ghost(header: Header) -> Header:
    """A file more, of which there is no ciphertext."""
    return replace(header, files=(*header.files, EncryptedFile("z.onnx", 1)))


def _of_another_bundle(bundle: Path) -> None:
    """Files and envelope of another bundle of this vendor, for the same recipients."""
    folder = bundle.parent
    signer = Envelope.from_json((bundle / ENVELOPE).read_bytes()).header.signer
    publics = [
        recipient_public((folder / f"{name}.pub").read_bytes(), name)
        for name in ("customer", "old")
    ]
    files = {"encoder.onnx": b"another", "decoder.onnx": b"another", "model.json": b"{}"}
    encrypt_files(files, publics, signer, bundle / "model")


def _model_without(name: str) -> Callable[[Header], Header]:
    return lambda header: replace(
        header, files=tuple(item for item in header.files if item.path != name)
    )


_MANY = f"{2**32}"
_COST = "envelope-passphrase-cost"
_STRUCTURE: dict[str, tuple[Break, str]] = {
    "another format": (_header(format="asrpack-envelope/2"), "envelope-format"),
    "unknown suite": (_header(suite="hpke-null"), "envelope-algorithm"),
    "unknown cipher": (_file(cipher="aes-256-ctr"), "envelope-algorithm"),
    "no cipher": (_file(cipher=""), "envelope-algorithm"),
    "unknown KEM": (_recipient(kem="rsa"), "envelope-algorithm"),
    "no KEM": (_recipient(kem=None), "envelope-algorithm"),
    "KEM as a list": (_recipient(kem=["x25519"]), "envelope-algorithm"),
    "unknown entry": (_recipient(kem="scrypt", work=20), "envelope-algorithm"),
    "bundle id no UUID": (_header(bundle_id="1"), "envelope-format"),
    "a field more": (_header(more=1), "envelope-format"),
    "a field more of a recipient": (_recipient(more=1), "envelope-recipients"),
    "no files": (_header(files=[]), "envelope-format"),
    "65 files": (
        _header(files=[{"path": f"f{n:02}", "size": 0, "cipher": "cobblestone-256"}
                       for n in range(65)]), "envelope-format"),
    "path out of the folder": (_file(path="../x"), "envelope-format"),
    "path absolute": (_file(path="/x"), "envelope-format"),
    "path with NUL": (_file(path="a\0"), "envelope-format"),
    "size true": (_file(size=True), "envelope-format"),
    "size negative": (_file(size=-1), "envelope-format"),
    "size of a petabyte": (_file(size=1 << 50), "envelope-format"),
    "files not in order": (
        _envelope(lambda raw: raw["header"]["files"].reverse()), "envelope-format"),
    "a file twice": (
        _envelope(lambda raw: raw["header"]["files"].insert(0, raw["header"]["files"][0])),
        "envelope-format"),
    "a part": (_file(part=16384), "envelope-format"),
    "parts of true": (_file(part_size=True), "envelope-format"),
    "parts of null": (_file(part_size=None), "envelope-format"),
    "parts of nothing": (_file(part_size=0), "envelope-format"),
    "parts under a chunk": (_file(size=1 << 20, part_size=16383), "envelope-format"),
    "one part": (_file(size=1 << 20, part_size=1 << 20), "envelope-format"),
    "1025 parts": (_file(size=16384 * 1024 + 1, part_size=16384), "envelope-format"),
    "a terabyte of parts": (_file(size=1 << 40, part_size=16384), "envelope-format"),
    "signer not base64": (_header(signer="*"), "envelope-format"),
    "no recipient": (_envelope(lambda raw: raw["recipients"].clear()), "envelope-recipients"),
    "a recipient twice": (
        _envelope(lambda raw: raw["recipients"].insert(0, raw["recipients"][0])),
        "envelope-recipients"),
    "recipients not in order": (
        _envelope(lambda raw: raw["recipients"].reverse()), "envelope-recipients"),
    "65 recipients": (
        _envelope(lambda raw: raw["recipients"].extend([raw["recipients"][0]] * MAX_RECIPIENTS)),
        "envelope-recipients"),
    "3000 recipients": (
        _envelope(lambda raw: raw.update(recipients=[{}] * 3000)), "envelope-recipients"),
    "key id in capitals": (_recipient(kid="A" * 64), "envelope-recipients"),
    "key id short": (_recipient(kid="a"), "envelope-recipients"),
    "nothing wrapped": (_recipient(wrapped=""), "envelope-recipients"),
    "wrapped keys short": (_recipient(wrapped="AAAA"), "envelope-recipients"),
    "wrapped keys not base64": (_recipient(wrapped="*"), "envelope-recipients"),
    "wrapped keys with spare bits": (_recipient(wrapped="AAB="), "envelope-recipients"),
    "wrapped keys of 600 KB": (_recipient(wrapped="AAAA" * 150_000), "envelope-recipients"),
    "one key too few": (_of("x25519", lambda data: data[:-32]), "envelope-recipients"),
    "one key too many": (_of("x25519", lambda data: data + bytes(32)), "envelope-recipients"),
    "key of the other kind": (
        _envelope(lambda raw: [item.update(kem="x25519") for item in raw["recipients"]]),
        "envelope-recipients",
    ),
    "Argon2 memory 2^32": (_passphrase(memory=2**32), _COST),
    "Argon2 memory 2^53 - 1": (_passphrase(memory=2**53 - 1), _COST),
    "Argon2 memory 2 GiB": (_passphrase(memory=2 << 20), _COST),
    "Argon2 memory 8 KiB": (_passphrase(memory=8), _COST),
    "Argon2 memory negative": (_passphrase(memory=-1), _COST),
    "Argon2 memory as text": (_passphrase(memory=_MANY), "envelope-recipients"),
    "Argon2 passes 2^32": (_passphrase(passes=2**32), _COST),
    "Argon2 passes 0": (_passphrase(passes=0), _COST),
    "Argon2 lanes 2^24": (_passphrase(lanes=2**24), _COST),
    "Argon2 lanes 0": (_passphrase(lanes=0), _COST),
    "three passphrases": (_passphrase(3), "envelope-recipients"),
    "cost of what is no passphrase": (_recipient(memory=65536), "envelope-recipients"),
    "another signer": (_header(signer="AAAA"), "envelope-signer"),
    "another bundle id": (
        _header(bundle_id="6b1f7a52-0c7e-4d0b-9d5c-3f3a4e0c8d21"), "envelope-bundle-id"),
    "envelope of another bundle": (_of_another_bundle, "envelope-bundle-id"),
}  # fmt: skip
_WRAPPED = "envelope-wrapped-key"
_TOPS = [bytes(32), b"\x01" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"]
_OPENING: dict[str, tuple[Break, str, str]] = {
    # X25519: the shared secret of these is zero whatever the private key is.
    "X25519 share zero": (_of("x25519", _share(_TOPS[0])), _WRAPPED, "old.key"),
    "X25519 share one": (_of("x25519", _share(_TOPS[1])), _WRAPPED, "old.key"),
    "X25519 share of low order": (_of("x25519", _share(_TOPS[2])), _WRAPPED, "old.key"),
    "X-Wing's X25519 share zero": (_of("x-wing", _wing_share(_TOPS[0])), _WRAPPED, "customer.key"),
    "X-Wing's X25519 share one": (_of("x-wing", _wing_share(_TOPS[1])), _WRAPPED, "customer.key"),
    "a bit of ML-KEM's ciphertext": (_of("x-wing", _flip(0)), _WRAPPED, "customer.key"),
    "ML-KEM's ciphertext zero": (
        _of("x-wing", lambda data: bytes(1088) + data[1088:]), _WRAPPED, "customer.key"),
    "ML-KEM's ciphertext all ones": (
        _of("x-wing", lambda data: b"\xff" * 1088 + data[1088:]), _WRAPPED, "customer.key"),
    "a bit of the wrapped keys": (_of("x-wing", _flip(1130)), _WRAPPED, "customer.key"),
    "a bit of the tag": (_of("x25519", _flip(-1)), _WRAPPED, "old.key"),
    "keys wrapped for each other": (_envelope(_exchanged), _WRAPPED, "customer.key"),
    "parts that are not there": (
        _file(size=1 << 20, part_size=16384), _WRAPPED, "customer.key"),
    "parts that are not there, by the vendor": (
        _rewrapped(_parted), "envelope-files", "customer.key"),
    "a size changed": (_file(size=1), _WRAPPED, "customer.key"),
    "a path changed": (_file(path="a.onnx"), _WRAPPED, "customer.key"),
    "sizes changed by the vendor": (_rewrapped(_sizes(1)), "ciphertext", "customer.key"),
    "data keys exchanged by the vendor": (
        _rewrapped(lambda header: header, swap=True), "ciphertext", "customer.key"),
    "a file that is not there": (_rewrapped(_ghost), "missing-file", "customer.key"),
    "no model in it": (
        _rewrapped(_model_without("model.json")), "envelope-files", "customer.key"),
}  # fmt: skip


def _unsigned(name: str, act: Break, code: str | None) -> Case:
    """By somebody else. Without a pinned key the envelope is read before the signature."""
    codes = {} if code in (None, "envelope-bundle-id") else {UNPINNED: code}
    return Case(name, in_bundle(act), "changed-file", codes=codes)


def _strangers(sealed: SealedBundle) -> None:
    """The bundle's only recipient is somebody else."""

    def change(raw: dict[str, Any]) -> None:
        raw["recipients"] = [item for item in raw["recipients"] if item["kem"] == "x25519"]

    def both(bundle: Path) -> None:
        _envelope(change)(bundle)
        kids = [item["kid"] for item in json.loads((bundle / ENVELOPE).read_bytes())["recipients"]]
        edit_json(METADATA, lambda raw: raw.update(recipients=kids))(bundle)

    then_signed(both)(sealed.path)


CASES = [
    *(_unsigned(f"payload: {name}", act, None) for name, act in _PAYLOADS.items()),
    *(
        Case(
            f"payload, signed: {name}",
            in_bundle(then_signed(act)),
            "ciphertext",
            by=OPENERS,
            accepted_by=(ALONE,),
        )
        for name, act in _PAYLOADS.items()
    ),
    *(_unsigned(f"envelope: {name}", act, code) for name, (act, code) in _STRUCTURE.items()),
    *(
        Case(
            f"envelope, signed: {name}",
            in_bundle(then_signed(act)),
            code,
            by=READERS,
            accepted_by=(ALONE,),
        )
        for name, (act, code) in _STRUCTURE.items()
    ),
    *(
        Case(
            f"opening, signed: {name}",
            in_bundle(then_signed(act)),
            code,
            by=OPENERS,
            accepted_by=(ALONE,),
            identity=identity,
        )
        for name, (act, code, identity) in _OPENING.items()
    ),
    Case(
        "for somebody else",
        _strangers,
        "identity-not-recipient",
        by=OPENERS,
        accepted_by=(ALONE,),
        exit_code=KEY,
    ),
    Case(
        "another's key",
        lambda sealed: None,
        "identity-not-recipient",
        by=OPENERS,
        accepted_by=(ALONE,),
        exit_code=KEY,
        identity="stranger.key",
    ),
    Case(
        "a public key instead of a private one",
        lambda sealed: None,
        "key-wrong-half",
        by=OPENERS,
        accepted_by=(ALONE,),
        exit_code=KEY,
        identity="customer.pub",
    ),
]
