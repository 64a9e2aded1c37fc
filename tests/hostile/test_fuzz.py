"""Random input: only the documented errors, and no change of a bundle goes unnoticed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from asrpack.bundle.envelope import Envelope, open_envelope
from asrpack.bundle.keys import read_key, recipient_private
from asrpack.bundle.metadata import BundleMetadata
from asrpack.bundle.payload import decrypt
from asrpack.bundle.verify import (
    MAX_INTEGER,
    FormatError,
    RefusedError,
    canonical_json,
    check_names,
    load_trusted_key,
    name_fault,
    read_signature,
    read_statement,
    show,
    strict_json,
    verify_bundle,
)
from asrpack.errors import IntegrityError, KeyFileError
from tests.hostile.bundles import SealedBundle, read_payload

quick = settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
texts = st.text(st.characters(exclude_categories=("Cs",)))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
PIECES = [b'{"a":', b"[", b"]", b"}", b'"', b",", b"1", b"-", b"e5", b"NaN", b"\\ud800", b"null"]
JSON_PIECES = st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join)


@st.composite
def edits(draw: st.DrawFn, data: bytes) -> bytes:
    """``data`` with a few bytes replaced, a piece cut out or a piece put in."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(changed)))
        end = draw(st.integers(start, min(len(changed), start + 40)))
        changed[start:end] = draw(st.binary(max_size=40) | JSON_PIECES)
    return bytes(changed)


@quick
@given(values)
def test_strict_json_reads_canonical_json(value: Any) -> None:
    data = canonical_json(value)
    assert strict_json(data) == value
    assert canonical_json(strict_json(data)) == data


@quick
@given(st.binary(max_size=200) | JSON_PIECES)
def test_strict_json_accepts_no_more_than_json(data: bytes) -> None:
    try:
        value = strict_json(data)
    except FormatError as error:
        assert error.code.startswith("json-")
        return
    assert json.loads(data) == value
    assert not any(isinstance(item, float) for item in _leaves(value))


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value]


@quick
@given(st.dictionaries(texts, st.integers(0, 9), min_size=1, max_size=3), st.data())
def test_strict_json_refuses_a_key_given_twice(fields: dict[str, int], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(fields)))
    text = canonical_json(fields)[:-1] + b"," + canonical_json({name: 1})[1:]
    with pytest.raises(FormatError) as error:
        strict_json(text)
    assert error.value.code == "json-duplicate-key"


@quick
@given(st.floats().filter(lambda x: not math.isinf(x)))
def test_strict_json_refuses_fractions(number: float) -> None:
    with pytest.raises(FormatError) as error:
        strict_json(json.dumps([number]).encode())
    assert error.value.code == "json-number"


@quick
@given(st.text(min_size=1, max_size=40))
def test_allowed_names_stay_below_the_bundle(name: str) -> None:
    root = Path("/bundle")
    if name_fault(name) is None:
        check_names([name])
        assert (root / name).is_relative_to(root)
        assert ".." not in Path(name).parts
        assert (root / name).relative_to(root).as_posix() == name
        assert name.isprintable()
    else:
        with pytest.raises(FormatError):
            check_names([name])


@quick
@given(st.text(max_size=40))
def test_shown_text_prints(text: str) -> None:
    assert show(text).isprintable()
    show(text).encode()


@quick
@given(data=st.data())
def test_any_edit_of_the_signature(master_bundle: SealedBundle, data: st.DataObject) -> None:
    original = (master_bundle.path / "model.sig").read_bytes()
    try:
        read_signature(data.draw(edits(original)))
    except FormatError:
        pass


@quick
@given(data=st.data())
def test_any_edit_of_the_statement(master_bundle: SealedBundle, data: st.DataObject) -> None:
    try:
        read_statement(data.draw(edits(read_payload(master_bundle.path))))
    except FormatError:
        pass


@quick
@given(data=st.data())
def test_any_edit_of_the_envelope(master_bundle: SealedBundle, data: st.DataObject) -> None:
    """Nothing but the original opens for this recipient, whoever signed."""
    original = (master_bundle.path / "model" / "envelope.json").read_bytes()
    identity = recipient_private(master_bundle.bytes_of("old.key"), "old.key")
    changed = data.draw(edits(original))
    assume(changed != original)
    try:
        envelope = Envelope.from_json(changed)
        assert envelope.to_json() == changed
        keys = open_envelope(changed, identity)
    except (IntegrityError, KeyFileError):
        return
    # Only another recipient's entry may differ: the header and this one's are bound.
    assert envelope.header == Envelope.from_json(original).header
    assert keys == open_envelope(original, identity)


@quick
@given(data=st.data())
def test_any_edit_of_the_metadata(master_bundle: SealedBundle, data: st.DataObject) -> None:
    try:
        metadata = BundleMetadata.from_json(
            data.draw(edits((master_bundle.path / "asrpack.json").read_bytes()))
        )
    except IntegrityError:
        return
    assert BundleMetadata.from_json(metadata.to_json()) == metadata


@quick
@given(data=st.data(), name=st.sampled_from(["vendor.pem", "customer.key", "old.pub"]))
def test_any_edit_of_a_key(master_bundle: SealedBundle, data: st.DataObject, name: str) -> None:
    changed = data.draw(edits(master_bundle.bytes_of(name)) | st.binary(max_size=100))
    try:
        read_key(changed, name)
    except KeyFileError as error:
        assert error.exit_code == 7
    try:
        load_trusted_key(changed)
    except FormatError as error:
        assert error.code == "key-format"


@quick
@given(data=st.data())
def test_any_edit_of_a_ciphertext(master_bundle: SealedBundle, data: st.DataObject) -> None:
    folder = master_bundle.path / "model"
    envelope = (folder / "envelope.json").read_bytes()
    identity = recipient_private(master_bundle.bytes_of("old.key"), "old.key")
    key = open_envelope(envelope, identity)["decoder.onnx"]
    context = f"{Envelope.from_json(envelope).header.bundle_id}|decoder.onnx|1".encode()
    original = (folder / "decoder.onnx.enc").read_bytes()
    changed = data.draw(edits(original))
    assume(changed != original)
    with pytest.raises(IntegrityError):
        decrypt(changed, key, context)


@settings(quick, max_examples=300)
@given(data=st.data())
def test_any_bit_of_any_file(sealed_bundle: SealedBundle, data: st.DataObject) -> None:
    files = sorted(path for path in sealed_bundle.path.rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(files))
    original = path.read_bytes()
    changed = bytearray(original)
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(changed)
    try:
        with pytest.raises(RefusedError):
            verify_bundle(sealed_bundle.path, [sealed_bundle.bytes_of("vendor.pub")])
    finally:
        path.write_bytes(original)
