"""Group 7: archives.

Nothing here unpacks one: a bundle is a directory. So an archive is refused as what it is, before a
byte of it is read, and nothing is written; an archive that lies in a bundle is a file more.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

from tests.hostile.bundles import SealedBundle
from tests.hostile.case import INPUT, KEY, PINNED, RUN, UNPINNED, Case, in_bundle
from tests.hostile.edits import add

BOMB = 64 << 20
"""Bytes that a bomb unpacks to, in the archive's inner file."""


def _tar(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _member(name: str, data: bytes = b"x", *, kind: bytes = tarfile.REGTYPE, target: str = "") -> (
    tuple[tarfile.TarInfo, bytes]
):  # fmt: skip
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, 0o4777
    return info, data if kind == tarfile.REGTYPE else b""


def _zip(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # of names twice
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def _zip_link(name: str, target: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = 0o120777 << 16
        archive.writestr(info, target)
        archive.writestr(zipfile.ZipInfo(name + "/evil"), b"x")
    return buffer.getvalue()


def _sound(sealed: SealedBundle) -> bytes:
    """The bundle itself, packed as customers pack it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(sealed.path, "bundle")
    return buffer.getvalue()


_SYM, _HARD = tarfile.SYMTYPE, tarfile.LNKTYPE
ARCHIVES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "slip": ("tar", lambda: _tar(_member("../../evil"))),
    "slip inside": ("tar", lambda: _tar(_member("bundle/../../evil"))),
    "absolute name": ("tar", lambda: _tar(_member("/tmp/evil"))),
    "absolute long name of GNU": ("tar", lambda: _tar(_member("/" + "tmp/" * 60 + "evil"))),
    "absolute name in a pax header": (
        "tar",
        lambda: _tar(_member("/" + "tmp/" * 90 + "evil"), form=tarfile.PAX_FORMAT),
    ),
    "link, then written through": (
        "tar",
        lambda: _tar(_member("bundle/out", kind=_SYM, target="/tmp"), _member("bundle/out/evil")),
    ),
    "link to a parent, then through": (
        "tar",
        lambda: _tar(_member("a", kind=_SYM, target=".."), _member("a/evil")),
    ),
    "hard link out": ("tar", lambda: _tar(_member("a", kind=_HARD, target="/etc/passwd"))),
    "hard link up": ("tar", lambda: _tar(_member("a", kind=_HARD, target="../../vendor.pem"))),
    "entries twice": ("tar", lambda: _tar(_member("model.sig", b"a"), _member("model.sig", b"b"))),
    "entries twin by case": ("tar", lambda: _tar(_member("README.md"), _member("readme.MD"))),
    "device": ("tar", lambda: _tar(_member("null", kind=tarfile.CHRTYPE))),
    "pipe": ("tar", lambda: _tar(_member("pipe", kind=tarfile.FIFOTYPE))),
    "100,000 entries": ("tar.gz", lambda: gzip.compress(_tar(_member("x")) * 100, 1)),
    "bomb by gzip": ("tar.gz", lambda: gzip.compress(_tar(_member("x", bytes(BOMB))), 6)),
    "bomb by bzip2": ("tar.bz2", lambda: bz2.compress(bytes(BOMB), 9)),
    "bomb by xz": ("tar.xz", lambda: lzma.compress(bytes(BOMB), preset=0)),
    "cut short": ("tar", lambda: _tar(_member("x", bytes(5000)))[:700]),
    "size negative": ("tar", lambda: _tar(_member("x"))[:124] + b"\xff" * 12 + bytes(376)),
    "zip: slip": ("zip", lambda: _zip(("../../evil", b"x"))),
    "zip: absolute": ("zip", lambda: _zip(("/tmp/evil", b"x"))),
    "zip: backslash": ("zip", lambda: _zip(("..\\..\\evil", b"x"))),
    "zip: link": ("zip", lambda: _zip_link("bundle/out", "/tmp")),
    "zip: bomb": ("zip", lambda: _zip(("x", bytes(BOMB)))),
    "zip: entries twice": ("zip", lambda: _zip(("model.sig", b"a"), ("model.sig", b"b"))),
    "wheel": ("whl", lambda: _zip(("x.dist-info/RECORD", b""))),
    "no archive": ("tar", lambda: b"\0" * 10_240),
}


def _given(name: str, ending: str, make: Callable[[], bytes]) -> Case:
    """An archive instead of a bundle."""
    return Case(
        f"given: {name}",
        lambda sealed: (sealed.folder / f"given.{ending}").write_bytes(make()),
        "bundle-not-directory",
        exit_code=INPUT,
        bundle=f"given.{ending}",
    )


def _inside(path: Path) -> None:
    path.write_bytes(ARCHIVES["slip"][1]())


CASES = [
    *(_given(name, *what) for name, what in ARCHIVES.items()),
    Case(
        "given: the sound bundle, packed",
        lambda sealed: (sealed.folder / "given.tar.gz").write_bytes(_sound(sealed)),
        "bundle-not-directory",
        exit_code=INPUT,
        bundle="given.tar.gz",
    ),
    Case(
        "in the bundle",
        in_bundle(lambda bundle: _inside(bundle / "model.tar")),
        "extra-file",
    ),
    Case("in the bundle, as a wheel", in_bundle(add("wheels/evil.whl")), "extra-directory"),
    Case(
        "in the signature's place",
        in_bundle(lambda bundle: _inside(bundle / "model.sig")),
        "json-syntax",
    ),
    Case(
        "in the licence's place",
        lambda sealed: _inside(sealed.folder / "licence.json"),
        "licence-json-syntax",
        by=(RUN, UNPINNED),
        exit_code=KEY,
        identity="stranger.key",
    ),
    Case(
        "in the trusted key's place",
        lambda sealed: _inside(sealed.folder / "vendor.tar"),
        "key-format",
        by=PINNED,
        exit_code=KEY,
        trust="vendor.tar",
    ),
]
