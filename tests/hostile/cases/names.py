"""Group 1: names, signed by the vendor in the list of files, or of files that lie there."""

from __future__ import annotations

from tests.hostile.case import Case, in_bundle
from tests.hostile.edits import add, listed, statement_text

FORBIDDEN = {
    "parent": "../x",
    "parent inside": "a/../b",
    "parent at the end": "a/..",
    "two dots": "..",
    "one dot": ".",
    "no name": "",
    "absolute": "/etc/passwd",
    "absolute with two slashes": "//etc/passwd",
    "two slashes": "a//b",
    "here": "./a",
    "here inside": "a/./b",
    "slash at the end": "a/",
    "backslash": "a\\b",
    "parent with backslash": "..\\x",
    "share": "\\\\host\\share",
    "drive": "C:x",
    "drive and path": "C:\\x",
    "stream of NTFS": "README.md:evil",
    "URL": "file:x",
    "NUL": "a\0b",
    "NUL at the end": "README.md\0",
    "line feed": "a\nb",
    "carriage return": "a\rb",
    "tab": "a\tb",
    "escape sequence": "a\x1b[2Jb",
    "delete": "a\x7f",
    "C1 control": "a\x85b",
    "override of direction": "a\u202egpj.py",
    "isolate of direction": "a\u2066b",
    "mark of direction": "a\u200fb",
    "no width": "a\u200bb",
    "joiner": "a\u200db",
    "byte order mark inside": "a\ufeffb",
    "line separator": "a\u2028b",
    "no-break space": "a\u00a0b",
    "private use": "a\ue000",
    "not assigned": "a\u0378",
    "no character": "a\uffff",
    "tag": "a\U000e0041",
    "form D": "e\u0301",
    "kelvin, not K": "\u212a",
    "device": "aux",
    "device in capitals": "CON",
    "device with an extension": "runtime/nul.py",
    "device as a folder": "com1/x",
    "device and space": "prn .txt",
    "last device": "LPT9",
    "dot at the end": "a.",
    "dot at a folder's end": "a./b",
    "space at the end": "a ",
    "space at a folder's end": "a /b",
    "space at the begin": " a",
    "less than": "a<b",
    "greater than": "a>b",
    "quote": 'a"b',
    "pipe": "a|b",
    "question mark": "a?b",
    "star": "*",
    "part of 256 bytes": "a" * 256,
    "part of 256 bytes, fewer characters": "é" * 128,
    "1025 bytes": "/".join(["a" * 204] * 5) + "/",
    "a megabyte": "a" * (1 << 20),
    "34 deep": "d/" * 33 + "x",
    "500 deep": "d/" * 500 + "x",
    "the signature": "model.sig",
    "below the signature": "model.sig/x",
    "a further signature": "signatures/" + "0" * 64 + ".sig",
    "the signatures' folder": "signatures",
}
TWINS = {
    "case": ("readme.MD",),
    "case of a folder": ("RUNTIME/asrpack/x.py",),
    "case of what is below": ("runtime/ASRPACK/__init__.py",),
    "ligature": ("\ufb01le", "file"),
    "sharp s": ("stra\u00dfe", "strasse"),
    "final sigma": ("\u03c3", "\u03c2"),
    "in 3000 names": (*(f"a{number}" for number in range(3000)), "A2999"),
}
# What a file system takes as one name.
_ON_DISK = {
    name: text
    for name, text in FORBIDDEN.items()
    if text not in ("", ".", "..", "signatures", "model.sig")
    and not set("/\0") & set(text)
    and len(text.encode()) < 256
}
_BYTES = {
    "no UTF-8": b"a\xff\xfe",
    "UTF-8 cut short": b"a\xe2\x82",
    "UTF-8 over long": b"..\xc0\xafx",
    "surrogate in UTF-8": b"a\xed\xa0\x80",
    "Latin-1": b"caf\xe9",
}
_FLOOD = [f"{number}/" + "d/" * 490 + "x" for number in range(2500)]

CASES = [
    *(
        Case(f"listed: {name}", in_bundle(listed(text)), "manifest-name")
        for name, text in FORBIDDEN.items()
    ),
    *(
        Case(f"twins: {name}", in_bundle(listed(*names)), "manifest-name-case")
        for name, names in TWINS.items()
    ),
    Case("twins: forms C and D", in_bundle(listed("\u00e9", "e\u0301")), "manifest-name"),
    Case(
        "listed: surrogate",
        in_bundle(statement_text(lambda d: d.replace(b"README.md", b"\\ud800"))),
        "json-encoding",
    ),
    Case("2500 names, 491 deep", in_bundle(listed(*_FLOOD)), "manifest-name"),
    *(
        Case(f"there: {name}", in_bundle(add(text)), "extra-file")
        for name, text in _ON_DISK.items()
    ),
    *(Case(f"there: {name}", in_bundle(add(text)), "extra-file") for name, text in _BYTES.items()),
    Case("there: 200 folders deep", in_bundle(add("d/" * 200 + "x")), "too-deep"),
    Case("there: case twin", in_bundle(add("readme.md")), "extra-file"),
    Case("there: case twin of a folder", in_bundle(add("Runtime/x.py")), "extra-directory"),
    Case("there: other form of a name", in_bundle(add("README.md\u0301")), "extra-file"),
    Case("there: NFD folder", in_bundle(add("e\u0301/x")), "extra-directory"),
    Case("there: turned around, in a folder", in_bundle(add("a\u202e/x")), "extra-directory"),
]
