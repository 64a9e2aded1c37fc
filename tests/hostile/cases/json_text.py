"""Group 3: JSON that has another reading or none, takes long or much, in each document read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from asrpack.bundle.envelope import MAX_ENVELOPE
from asrpack.bundle.licence_body import MAX_LICENCE
from asrpack.bundle.verify import MAX_JSON, MAX_TRUST, MAX_VALUES, SIGNATURES
from asrpack.protect.trust import add_signer, new_policy, policy_bytes
from tests.hostile.bundles import SealedBundle, read_payload, sign_payload
from tests.hostile.case import ALONE, EVERYONE, KEY, READERS, RUN, UNPINNED, VERIFY, Case
from tests.hostile.edits import ENVELOPE, METADATA, Change, resign
from tests.licence.vendor import read, vendor_of

Put = Callable[[SealedBundle, Change], object]


@dataclass(frozen=True)
class Document:
    """A place where JSON is read.

    Attributes:
        put: changes its text, and signs what must be signed to be read.
        case: who refuses what is JSON but no such document, and with which code.
        limit: bytes that its reader takes; None where another reader's limit is met first.
        prefix: of the codes of what is not this JSON.
        canonical: whether white space is a fault.
        brief: try a few faults only: the text is read by the same reader as another's.
        exceptions: what is different for one fault, or for "top": all that is no object, or has
            no format.
    """

    put: Put
    case: Case
    limit: int | None = None
    prefix: str = ""
    canonical: bool = True
    brief: bool = False
    exceptions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def _file(name: str, *, signed: bool) -> Put:
    def put(sealed: SealedBundle, change: Change) -> None:
        path: Path = sealed.path / name
        path.write_bytes(change(path.read_bytes()))
        if signed:
            resign(sealed.path)

    return put


def _statement(sealed: SealedBundle, change: Change) -> None:
    sign_payload(sealed.path, change(read_payload(sealed.path)))


def _further(sealed: SealedBundle, change: Change) -> None:
    path = sealed.path / SIGNATURES / f"{'0' * 64}.sig"
    path.parent.mkdir()
    path.write_bytes(change((sealed.path / "model.sig").read_bytes()))


def _policy(sealed: SealedBundle, change: Change) -> None:
    document = new_policy()
    add_signer(document, "vendor", sealed.bytes_of("vendor.pub"))
    (sealed.folder / "policy.json").write_bytes(change(policy_bytes(document).strip()))


def _licence(sealed: SealedBundle, change: Change) -> None:
    (sealed.folder / "licence.json").write_bytes(change(vendor_of(sealed).issue()))


def _licence_payload(sealed: SealedBundle, change: Change) -> None:
    vendor = vendor_of(sealed)
    licence = vendor.sign(change(read(vendor.issue()).payload()))
    (sealed.folder / "licence.json").write_bytes(licence)


def _nothing(sealed: SealedBundle) -> None:
    raise NotImplementedError


_SIGNATURE = Case("", _nothing, "signature-format")
_LICENSED = Case(
    "",
    _nothing,
    "licence-format",
    by=(RUN, UNPINNED),
    exit_code=KEY,
    identity="stranger.key",
)
# A policy that does not begin like one is taken for a public key.
_NO_KEY = {"code": "key-format"}
DOCUMENTS = {
    "signature": Document(
        _file("model.sig", signed=False),
        _SIGNATURE,
        MAX_JSON,
        exceptions={"too large": {"code": "too-large"}},
    ),
    "further signature": Document(_further, _SIGNATURE, brief=True),
    "statement": Document(_statement, Case("", _nothing, "statement-format")),
    "metadata": Document(
        _file(METADATA, signed=True),
        # The stand-alone verifier looks at the format only.
        Case("", _nothing, "metadata-format", by=READERS, accepted_by=(ALONE,)),
        canonical=False,
        exceptions={
            "json": {"by": EVERYONE, "accepted_by": ()},
            "top": {"code": "not-a-bundle", "by": EVERYONE, "accepted_by": ()},
        },
    ),
    "envelope": Document(
        _file(ENVELOPE, signed=True),
        Case("", _nothing, "envelope-format", by=READERS, accepted_by=(ALONE,)),
        MAX_ENVELOPE,
        prefix="envelope-",
        exceptions={"too large": {"codes": {UNPINNED: "too-large"}}},
    ),
    "trust policy": Document(
        _policy,
        Case(
            "",
            _nothing,
            "trust-format",
            by=(VERIFY, RUN, ALONE),
            exit_code=KEY,
            trust="policy.json",
        ),
        MAX_TRUST,
        canonical=False,
        exceptions=dict.fromkeys(
            ("null", "a list", "a string", "empty", "UTF-16 with a mark"), _NO_KEY
        ),
    ),
    "licence": Document(_licence, _LICENSED, MAX_LICENCE, prefix="licence-"),
    "licence's payload": Document(_licence_payload, _LICENSED, prefix="licence-", brief=True),
}


def _first(value: bytes | str) -> Change:
    """A field more, at the begin."""
    raw = value.encode() if isinstance(value, str) else value
    return lambda data: b'{"!":' + raw + b"," + data[1:]


def _end(text: bytes) -> Change:
    return lambda data: data + text


def _instead(text: bytes | str) -> Change:
    raw = text.encode() if isinstance(text, str) else text
    return lambda data: raw


def _twice(data: bytes) -> bytes:
    """The first field once more, at the end: readers disagree on which counts."""
    name = data[1 : data.index(b":")].strip()
    return data[:-1] + b"," + name + b":null}"


def _twice_escaped(data: bytes) -> bytes:
    """The same, its first letter escaped: not the same text, and the same name."""
    name = data[1 : data.index(b":")].strip()
    return data[:-1] + b',"\\u%04x' % name[1] + name[2:] + b":null}"


_BRIEF: dict[str, tuple[Change, str]] = {
    "empty": (_instead(""), "json-syntax"),
    "cut short": (lambda data: data[:-1], "json-syntax"),
    "a key twice": (_twice, "json-duplicate-key"),
    "1000 deep": (_first(b"[" * 1000 + b"]" * 1000), "json-depth"),
    "NaN": (_first("NaN"), "json-number"),
    "byte order mark": (lambda data: b"\xef\xbb\xbf" + data, "json-bom"),
    "something after it": (_end(b"{}"), "json-trailing"),
    "another field": (_first("1"), "shape"),
}
_FULL: dict[str, tuple[Change, str]] = _BRIEF | {
    "a key twice, once escaped": (_twice_escaped, "json-duplicate-key"),
    "a key twice, far inside": (_first('[{"a":[{"b":1,"b":1}]}]'), "json-duplicate-key"),
    "an empty key twice": (_first('{"":1,"":1}'), "json-duplicate-key"),
    "a key twice in another form of it": (_first('{"\\u00e9":1,"é":1}'), "json-duplicate-key"),
    "infinity": (_first("Infinity"), "json-number"),
    "infinity below": (_first("-Infinity"), "json-number"),
    "a fraction": (_first("1.0"), "json-number"),
    "an exponent": (_first("1e400"), "json-number"),
    "2^53": (_first(str(2**53)), "json-number"),
    "-2^53": (_first(str(-(2**53))), "json-number"),
    "a number of 100,000 digits": (_first("9" * 100_000), "json-number"),
    "a fraction of 100,000 digits": (_first("0." + "9" * 100_000), "json-number"),
    "hexadecimal": (_first("0x10"), "json-syntax"),
    "a leading zero": (_first("007"), "json-syntax"),
    "a leading plus": (_first("+1"), "json-syntax"),
    "no digit before the point": (_first(".5"), "json-syntax"),
    "digits of another script": (_first("١"), "json-syntax"),
    "True": (_first("True"), "json-syntax"),
    "undefined": (_first("undefined"), "json-syntax"),
    "100,000 deep": (_first(b"[" * 100_000 + b"]" * 100_000), "json-depth"),
    "33 deep": (_first("[" * 32 + "]" * 32), "json-depth"),
    "objects 20,000 deep": (_first('{"a":' * 20_000 + "1" + "}" * 20_000), "json-depth"),
    "deep and never closed": (_first("[" * 100_000), "json-depth"),
    "brackets never opened": (_first("]" * 1000), "json-syntax"),
    "UTF-16": (lambda data: data.decode().encode("utf-16-le"), "json-syntax"),
    "UTF-16 with a mark": (lambda data: data.decode().encode("utf-16"), "json-encoding"),
    "no UTF-8": (_first(b'"\xff"'), "json-encoding"),
    "UTF-8 over long": (_first(b'"\xc0\xaf"'), "json-encoding"),
    "UTF-8 cut short": (_first(b'"\xe2\x82"'), "json-encoding"),
    "a surrogate in UTF-8": (_first(b'"\xed\xa0\x80"'), "json-encoding"),
    "a surrogate alone": (_first('"\\ud800"'), "json-encoding"),
    "the second surrogate alone": (_first('"\\uDFFF"'), "json-encoding"),
    "surrogates turned around": (_first('"\\udc00\\ud800"'), "json-encoding"),
    "a surrogate in a key": (_first('{"\\ud800":1}'), "json-encoding"),
    "NUL after it": (_end(b"\0"), "json-trailing"),
    "itself after it": (lambda data: data + data, "json-trailing"),
    "a comment": (_first("/* */ 1"), "json-syntax"),
    "a comma at the end": (lambda data: data[:-1] + b",}", "json-syntax"),
    "single quotes": (_first("'a'"), "json-syntax"),
    "a key without quotes": (_first("{a:1}"), "json-syntax"),
    "a raw line end in a string": (_first('"a\nb"'), "json-syntax"),
    "a raw NUL in a string": (_first('"a\0b"'), "json-syntax"),
    "an unknown escape": (_first('"\\x41"'), "json-syntax"),
    "an escape cut short": (_first('"\\u12"'), "json-syntax"),
    "a string without end": (lambda data: data[:-1] + b',"', "json-syntax"),
    "quotes escaped 90,000 times, no end": (
        lambda data: data[:-1] + b',"' + b'\\"' * 90_000, "json-syntax"),
    "quotes 90,000 times": (_first('"' * 90_001), "json-syntax"),
    "null": (_instead("null"), "top"),
    "a list": (_instead("[]"), "top"),
    "a string": (_instead('"a"'), "top"),
    "an object": (_instead("{}"), "top"),
}  # fmt: skip
_NOT_CANONICAL: dict[str, Change] = {
    "white space": lambda data: b" " + data,
    "a line end": _end(b"\n"),
    "white space inside": lambda data: data.replace(b":", b": ", 1),
    "a letter escaped": lambda data: data.replace(b":", b":", 1).replace(
        data[1:3], b'"\\u%04x' % data[2], 1
    ),
}


def _floods(room: int) -> dict[str, tuple[Change, str]]:
    """What is small as text and large in memory, in ``room`` bytes."""
    # Some of it is the document itself.
    room -= 16 << 10
    few = min(MAX_VALUES - 10_000, room // 12)
    keys = ",".join(f'"{number:07x}":1' for number in range(few))
    floods = {
        "a long string": (_first('"' + "a" * room + '"'), "shape"),
        "a long string of other letters": (_first('"' + "語" * (room // 3) + '"'), "shape"),
        "a long key": (_first('{"' + "a" * room + '":1}'), "shape"),
        "a long key twice": (
            _first('{"' + "a" * (room // 3) + '":1,"' + "a" * (room // 3) + '":1}'),
            "json-duplicate-key",
        ),
        "a million of white space": (_first(" " * room + "1"), "shape"),
        "many keys": (_first(f"{{{keys}}}"), "shape"),
        "many keys, the last twice": (
            _first(f'{{{keys},"{few - 1:07x}":1}}'),
            "json-duplicate-key",
        ),
        "many strings": (_first("[" + '"aaa",' * min(few, room // 6) + '"a"]'), "shape"),
        "many escapes": (_first('"' + "語\\n" * min(few, room // 5) + '"'), "shape"),
        "many pairs of surrogates": (
            _first('"' + "\\ud83d\\ude00" * min(few // 2, room // 12) + '"'),
            "shape",
        ),
    }
    if room > 3 * MAX_VALUES:
        floods |= {
            "too many lists": (_first("[" + "[]," * (room // 3) + "[]]"), "json-values"),
            "too many objects": (_first("[" + "{}," * (room // 3) + "{}]"), "json-values"),
            "too many numbers": (_first("[" + "1," * (room // 2) + "1]"), "json-values"),
            "too many escapes": (_first('"' + "\\n" * (room // 2) + '"'), "json-values"),
            "too many quotes": (_first('"' + '\\"' * (room // 2)), "json-values"),
        }
    return floods


def _cases(name: str, document: Document) -> list[Case]:
    faults = dict(_BRIEF if document.brief else _FULL)
    if document.canonical:
        faults |= {what: (act, "json-not-canonical") for what, act in _NOT_CANONICAL.items()}
    if not document.brief:
        # The statement is base64 in a file of MAX_JSON.
        faults |= _floods(document.limit or MAX_JSON * 3 // 4 - 1000)
    if document.limit:
        faults["too large"] = (_end(b" " * document.limit), "json-size")
    return [_case(f"{name}: {what}", document, *fault) for what, fault in faults.items()]


def _case(name: str, document: Document, change: Change, code: str) -> Case:
    changes: dict[str, Any] = {"name": name, "make": lambda sealed: document.put(sealed, change)}
    if code.startswith("json-"):
        changes |= {"code": document.prefix + code, **document.exceptions.get("json", {})}
    changes |= document.exceptions.get(code, {})
    changes |= document.exceptions.get(name.partition(": ")[2], {})
    return replace(document.case, **changes)


CASES = [case for name, document in DOCUMENTS.items() for case in _cases(name, document)]
