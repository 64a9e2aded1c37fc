"""The published vectors: every step gives what they say, and asrpack opens their bundle."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest

from asrpack.bundle.keys import read_key, recipient_private
from asrpack.bundle.opening import open_sealed
from asrpack.bundle.secrets import SecretSource
from tests.vectors import steps
from tests.vectors.load import FILES, Vectors, unpack
from tests.vectors.make import make, opened


@pytest.fixture(scope="module", params=FILES)
def vectors(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Vectors:
    return unpack(tmp_path_factory.mktemp("vectors"), request.param)


def test_every_step(vectors: Vectors) -> None:
    raw = vectors.raw
    assert opened(raw["bundle"], raw["keys"]) == {
        name: raw[name] for name in ("info", "secret", "recipients", "payloads")
    }
    header = json.loads(base64.b64decode(raw["bundle"]["model/envelope.json"]))["header"]
    for item in header["files"]:
        whole = b""
        for place, file in steps.payload_files(item).items():
            payload, data = raw["payloads"][place], base64.b64decode(raw["bundle"][file])
            key, context = bytes.fromhex(payload["data_key"]), payload["context"].encode()
            plain = steps.decrypt_payload(data, key, context)
            # The length that the format promises.
            assert len(data) == 56 + len(plain) + 16 * (len(plain) // 16384 + 1)
            whole += plain
        wanted = raw["plaintexts"][item["path"]]
        assert (len(whole), hashlib.sha256(whole).hexdigest()) == (wanted["size"], wanted["sha256"])


@pytest.mark.parametrize("source", ["{}/x-wing.key", "{}/x25519.key", "passphrase:{}/argon2id.key"])
def test_asrpack_opens_them(vectors: Vectors, source: str) -> None:
    reference = SecretSource.parse(source.format(vectors.folder))
    identity = recipient_private(reference.read(), str(reference))
    trust = [vectors.key("signing.pub").read_bytes()]
    files = open_sealed(vectors.bundle, identity, trust).files
    assert {path: hashlib.sha256(data.view).hexdigest() for path, data in files.items()} == {
        path: item["sha256"] for path, item in vectors.raw["plaintexts"].items()
    }


def test_made_anew_they_have_the_same_keys_and_contents(vectors: Vectors) -> None:
    parted = any("/" in place for place in vectors.raw["payloads"])
    fresh = make(16384) if parted else make()
    for name in ("format", "keys", "public", "plaintexts"):
        assert fresh[name] == vectors.raw[name]
    assert set(fresh) == set(vectors.raw) and set(fresh["bundle"]) == set(vectors.raw["bundle"])
    assert fresh["secret"] != vectors.raw["secret"]


def test_key_ids(vectors: Vectors) -> None:
    ids = {
        kem: read_key(Path(vectors.key(f"{kem}.pub")).read_bytes(), kem).fingerprint
        for kem in ("x-wing", "x25519")
    }
    kids = {item["kem"]: item["kid"] for item in vectors.raw["recipients"]}
    assert {kem: kids[kem] for kem in ids} == ids
