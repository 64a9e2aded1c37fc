"""Group 5: the signed list of files, and the signed metadata."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asrpack.bundle.verify import MAX_FILES
from tests.hostile.case import ALONE, READERS, Case, in_bundle
from tests.hostile.edits import (
    METADATA,
    Break,
    edit_json,
    listed,
    resources,
    statement,
    then_signed,
)

_ZERO = {"algorithm": "sha256", "digest": "0" * 64}


def _digest(text: str, algorithm: str = "sha256") -> Break:
    return statement(
        lambda raw: raw["predicate"]["resources"][0].update(digest=text, algorithm=algorithm)
    )


def _serialization(**fields: Any) -> Break:
    return statement(lambda raw: raw["predicate"]["serialization"].update(fields))


def _subject(change: Callable[[dict[str, Any]], object]) -> Break:
    return statement(lambda raw: change(raw["subject"][0]))


def _metadata(change: Callable[[dict[str, Any]], object]) -> Break:
    return then_signed(edit_json(METADATA, change))


def _field(**fields: Any) -> Break:
    return _metadata(lambda raw: raw.update(fields))


def _without(name: str) -> Break:
    return resources(
        lambda items: items.remove(next(item for item in items if item["name"] == name))
    )


def _many(count: int) -> Break:
    return listed(*(f"{number:05}" for number in range(count)))


_DIGESTS = {
    "MD5": ("0" * 32, "md5"),
    "SHA-1": ("0" * 40, "sha1"),
    "SHA-512": ("0" * 128, "sha512"),
    "BLAKE3": ("0" * 64, "blake3"),
    "named in capitals": ("0" * 64, "SHA256"),
    "named otherwise": ("0" * 64, "sha-256"),
    "named by nothing": ("0" * 64, ""),
    "in capitals": ("A" * 64, "sha256"),
    "short": ("a" * 63, "sha256"),
    "long": ("a" * 65, "sha256"),
    "empty": ("", "sha256"),
    "with a prefix": ("sha256:" + "0" * 64, "sha256"),
    "with a line end": ("0" * 64 + "\n", "sha256"),
    "of other digits": ("\uff10" * 64, "sha256"),
    "no digits": ("g" * 64, "sha256"),
    "base64": ("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "sha256"),
    "of a megabyte": ("0" * (1 << 20), "sha256"),
}
_SERIALIZATIONS: dict[str, Break] = {
    "links allowed": _serialization(allow_symlinks=True),
    "links allowed by a number": _serialization(allow_symlinks=0),
    "files ignored": _serialization(ignore_paths=["model"]),
    "no files ignored": _serialization(ignore_paths=[]),
    "a glob ignored": _serialization(ignore_paths=["*"]),
    "shards": _serialization(method="shards", shard_size=1_000_000_000),
    "another hash": _serialization(hash_type="blake2b"),
    "a field more": _serialization(more=1),
    "a field missing": statement(lambda r: r["predicate"]["serialization"].pop("method")),
    "none": statement(lambda raw: raw["predicate"].update(serialization={})),
}
_LISTS: dict[str, tuple[Break, str]] = {
    "a file twice": (
        statement(lambda r: r["predicate"]["resources"].insert(0, r["predicate"]["resources"][0])),
        "manifest-duplicate",
    ),
    "a file twice, with two digests": (
        resources(lambda items: items.insert(0, {**_ZERO, "name": items[0]["name"]})),
        "manifest-duplicate",
    ),
    "not in order": (
        statement(lambda raw: raw["predicate"]["resources"].reverse()),
        "manifest-order",
    ),
    "in order of another alphabet": (
        resources(lambda items: items.sort(key=lambda item: item["name"].swapcase())),
        "manifest-order",
    ),
    "a file that is not there": (listed("model/more.bin"), "missing-file"),
    "a file too few": (resources(lambda items: items.pop()), "extra-file"),
    "no files": (resources(lambda items: items.clear()), "extra-file"),
    "no metadata": (_without(METADATA), "extra-file"),
    "no envelope": (_without("model/envelope.json"), "extra-file"),
    "two files exchanged": (
        resources(
            lambda items: (
                items[0].update(digest=items[1]["digest"]),
                items[1].update(digest="1" * 64),
            )
        ),
        "changed-file",
    ),
    f"over {MAX_FILES} files": (_many(MAX_FILES), "manifest-length"),
    "15,000 files that are not there": (_many(15_000), "missing-file"),
    "a file without a digest": (
        resources(lambda items: items.__setitem__(0, {"name": "x", "digest": "0" * 64})),
        "statement-format",
    ),
    "a name that is a number": (
        statement(lambda raw: raw["predicate"]["resources"][0].update(name=1)),
        "statement-format",
    ),
    "a digest null": (
        statement(lambda raw: raw["predicate"]["resources"][0].update(digest=None)),
        "statement-format",
    ),
    "a field more of a file": (
        statement(lambda raw: raw["predicate"]["resources"][0].update(annotations={})),
        "statement-format",
    ),
    "an object instead of the list": (
        statement(lambda raw: raw["predicate"].update(resources={})),
        "statement-format",
    ),
    "another root digest": (
        _subject(lambda subject: subject["digest"].update(sha256="0" * 64)),
        "manifest-root-digest",
    ),
    "root digest in capitals": (
        _subject(lambda s: s["digest"].update(sha256=s["digest"]["sha256"].upper())),
        "manifest-root-digest",
    ),
    "root digest of no files": (
        _subject(lambda subject: subject["digest"].update(sha256="")),
        "manifest-root-digest",
    ),
    "another digest besides": (
        _subject(lambda subject: subject["digest"].update(md5="0" * 32)),
        "statement-format",
    ),
    "two subjects": (
        statement(lambda raw: raw["subject"].append(raw["subject"][0])),
        "manifest-root-digest",
    ),
    "no subject": (statement(lambda raw: raw["subject"].clear()), "manifest-root-digest"),
    "subject null": (statement(lambda raw: raw.update(subject=None)), "statement-format"),
}
_METADATA: dict[str, Break] = {
    "a field more": _field(more=1),
    "a field missing": _metadata(lambda raw: raw.pop("target")),
    "no watermark": _metadata(lambda raw: raw.pop("watermark")),
    "watermark no digest": _field(watermark="x"),
    "bundle id no UUID": _field(bundle_id="../x"),
    "bundle id in capitals": _field(bundle_id="6B1F7A52-0C7E-4D0B-9D5C-3F3A4E0C8D21"),
    "sequence negative": _field(sequence=-1),
    "sequence as text": _field(sequence="1"),
    "sequence true": _field(sequence=True),
    "created yesterday": _field(created="yesterday"),
    "created with an offset": _field(created="2026-01-31T12:00:00+01:00"),
    "created in the year 0": _field(created="0000-01-01T00:00:00Z"),
    "created before 1970": _field(created="1969-12-31T23:59:59Z"),
    "recipients not in order": _metadata(lambda raw: raw["recipients"].reverse()),
    "recipients twice": _field(recipients=["0" * 64] * 2),
    "recipients that are numbers": _field(recipients=[1]),
    "recipients no ids": _field(recipients=["../x"]),
    "rate as text": _metadata(lambda raw: raw["model"].update(sample_rate="16000")),
    "a role that is a number": _metadata(lambda raw: raw["files"].update(x=1)),
    "files as a list": _field(files=[]),
    "model null": _field(model=None),
    "provider null": _field(provider=None),
    "provider with unknown options": _field(
        provider={"target": "cuda", "fallback": True, "options": {"evil": 1}}
    ),
}
_NO_BUNDLE: dict[str, Break] = {
    "a later format": _field(format="asrpack-bundle/2"),
    "no format": _metadata(lambda raw: raw.pop("format")),
    "format in a list": _field(format=["asrpack-bundle/1"]),
}

CASES = [
    *(
        Case(f"digest: {name}", in_bundle(_digest(*digest)), "manifest-digest")
        for name, digest in _DIGESTS.items()
    ),
    *(
        Case(f"serialization: {name}", in_bundle(act), "manifest-serialization")
        for name, act in _SERIALIZATIONS.items()
    ),
    *(Case(f"list: {name}", in_bundle(act), code) for name, (act, code) in _LISTS.items()),
    *(
        Case(f"metadata: {name}", in_bundle(act), "not-a-bundle")
        for name, act in _NO_BUNDLE.items()
    ),
    *(
        # The stand-alone verifier looks at the format, and at what a policy asks for.
        Case(
            f"metadata: {name}",
            in_bundle(act),
            "metadata-format",
            by=READERS,
            accepted_by=(ALONE,),
        )
        for name, act in _METADATA.items()
    ),
]
