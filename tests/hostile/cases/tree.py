"""Group 2: the tree of files, and files exchanged between two looks at them."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from tests.hostile.bundles import SealedBundle
from tests.hostile.case import (
    EVERYONE,
    INPUT,
    RUN,
    UNPINNED,
    VERIFY,
    Case,
    in_bundle,
)
from tests.hostile.edits import (
    DECODER,
    ENCODER,
    ENVELOPE,
    METADATA,
    Break,
    add,
    exchange,
    flip,
    remove,
    replaced,
    rewrite,
)

TERABYTE = 1 << 40
NOBODY = 65534


def _rename(old: str, new: str) -> Break:
    return lambda bundle: (bundle / old).rename(bundle / new) and None


def _link(name: str, target: str) -> Break:
    return replaced(name, lambda path: path.symlink_to(target))


def _linked_elsewhere(name: str) -> Break:
    """Moved out of the bundle, and a link to it in its place."""

    def act(bundle: Path) -> None:
        target = bundle.parent / "elsewhere"
        (bundle / name).rename(target)
        (bundle / name).symlink_to(target)

    return act


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(here)


def _device(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # zeros without end


def _mode(name: str, mode: int) -> Break:
    return lambda bundle: (bundle / name).chmod(mode)


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "x").write_bytes(b"x")


def _file_instead_of_folder(bundle: Path) -> None:
    shutil.rmtree(bundle / "runtime")
    (bundle / "runtime").write_bytes(b"x")


def _sparse(name: str) -> Break:
    def act(bundle: Path) -> None:
        with (bundle / name).open("ab") as stream:
            os.truncate(stream.fileno(), TERABYTE)

    return act


def _sparse_signature(bundle: Path) -> None:
    (bundle / "signatures").mkdir()
    _sparse("signatures/" + "0" * 64 + ".sig")(bundle)


def _emptied(bundle: Path) -> None:
    shutil.rmtree(bundle)
    bundle.mkdir()


def _at(make: Callable[[Path], object]) -> Break:
    return lambda bundle: make(bundle / "special") and None


def _many(count: int, folder: str) -> Break:
    def act(bundle: Path) -> None:
        (bundle / folder).mkdir(exist_ok=True)
        for number in range(count):
            (bundle / folder / f"x{number}").touch()

    return act


def _unreadable(name: str) -> Callable[[SealedBundle], None]:
    def act(sealed: SealedBundle) -> None:
        if os.geteuid() == 0:
            for path in [sealed.folder, *sealed.folder.rglob("*")]:
                os.chown(path, NOBODY, NOBODY)
        (sealed.path / name).chmod(0)

    return act


def _refreshed(name: str) -> Break:
    """Another file of the same size in the file's place, by renaming: the path changes at once."""

    def act(bundle: Path) -> None:
        data = bytearray((bundle / name).read_bytes())
        data[len(data) // 2] ^= 1
        other = bundle.parent / "other"
        other.write_bytes(data)
        other.replace(bundle / name)

    return act


def _swap(
    name: str, by: str, act: Break, entrances: tuple[str, ...], at: int, code: str = "changed-file"
) -> Case:
    leaf = name.rpartition("/")[2]
    return Case(
        f"swap: {name} by {by} at look {at} of {entrances[0]}",
        in_bundle(act),
        code,
        entrances,
        swap=(leaf, at),
    )


def _other(name: str, entrances: tuple[str, ...], at: int) -> Case:
    return _swap(name, "another", _refreshed(name), entrances, at)


# Listed, and exchanged before it is read: a payload is read once, hashed and decrypted at once.
# Metadata and envelope are opened again to be used. Without a pinned key the envelope is looked
# at once more before all that: it names the signer.
_SWAPS = [
    _other(ENCODER, EVERYONE, 1),
    _other(DECODER, EVERYONE, 1),
    _other("README.md", EVERYONE, 1),
    _other(ENVELOPE, (VERIFY, RUN), 2),
    _other(ENVELOPE, (UNPINNED,), 2),
    _other(ENVELOPE, (UNPINNED,), 3),
    _other(METADATA, EVERYONE, 2),
    _other(METADATA, (VERIFY, RUN, UNPINNED), 3),
    _swap(ENVELOPE, "a link", _link(ENVELOPE, "/etc/hosts"), (VERIFY, RUN), 2, "unreadable"),
    _swap("README.md", "a link", _link("README.md", "/etc/hosts"), EVERYONE, 1, "unreadable"),
    _swap(ENCODER, "a terabyte", _sparse(ENCODER), EVERYONE, 1, "too-large"),
    _swap(ENCODER, "nothing", remove(ENCODER), EVERYONE, 1, "unreadable"),
    _swap(ENCODER, "a pipe", replaced(ENCODER, os.mkfifo), EVERYONE, 1, "unreadable"),
    _swap("model.sig", "a pipe", replaced("model.sig", os.mkfifo), EVERYONE, 1, "unreadable"),
]

_FIRST = {UNPINNED: "envelope-missing"}  # who names the signer is looked for before all else

_CHANGED = {
    "a bit of the encoder": flip(ENCODER, 20_000),
    "a bit of the salt": flip(ENCODER, 0),
    "a bit of the metadata": flip(METADATA, 40),
    "a bit of the code": flip("runtime/asrpack/__init__.py", 3),
    "a bit of the verifier": flip("verify.py", 3),
    "last bit of a file": flip(DECODER, -1),
    "a byte cut off": rewrite(ENCODER, lambda data: data[:-1]),
    "a byte more": rewrite(ENCODER, lambda data: data + b"\0"),
    "empty": rewrite("README.md", lambda data: b""),
    "encoder and decoder exchanged": exchange(ENCODER, DECODER),
    "line ends of another system": rewrite("README.md", lambda d: d.replace(b"\n", b"\r\n")),
}
_EXTRA = {
    "a file": "model/extra.bin",
    "a hidden file": ".hidden",
    "code that runs with Python": "runtime/evil.pth",
    "code that runs first": "runtime/sitecustomize.py",
    "a module beside the verifier": "json.py",
    "a second signature": "model.sig.bak",
    "a signature that is none": "signatures/x.sig",
    "attributes of Git": ".gitattributes",
    "a file of macOS": "._README.md",
    "a file of Windows": "desktop.ini",
}
_FOLDERS = {
    "of Git": ".git/HEAD",
    "of Python": "runtime/asrpack/__pycache__/x.pyc",
    "of Python, at the top": "__pycache__/verify.cpython-311.pyc",
    "a package beside the verifier": "cryptography/__init__.py",
    "of a trash": ".Trash-1000/x",
    "among the signatures": "signatures/x/" + "0" * 64 + ".sig",
}
_SPECIAL = {"pipe": os.mkfifo, "socket": _socket, "device": _device}
_MODES = {
    "setuid": ("verify.py", 0o4644, "mode-special"),
    "setgid": ("verify.py", 0o2644, "mode-special"),
    "sticky": ("verify.py", 0o1644, "mode-special"),
    "sticky folder": ("model", 0o1755, "mode-special"),
    "setuid folder": ("model", 0o4755, "mode-special"),
    "everyone may write": (ENCODER, 0o646, "mode-world-writable"),
    "everyone may write the signature": ("model.sig", 0o666, "mode-world-writable"),
    "everyone may write a folder": ("model", 0o777, "mode-world-writable"),
    "executable": ("verify.py", 0o755, "mode-executable"),
    "executable by some": ("README.md", 0o645, "mode-executable"),
}


def _hard_link(name: str) -> Break:
    return lambda bundle: (bundle.parent / "another").hardlink_to(bundle / name)


def _add_folder(name: str) -> Break:
    return lambda bundle: (bundle / name).mkdir(parents=True)


def _add_link(name: str, target: str) -> Break:
    return lambda bundle: (bundle / name).symlink_to(target)


CASES = [
    *(Case(f"changed: {name}", in_bundle(act), "changed-file") for name, act in _CHANGED.items()),
    Case(
        "changed: the cipher that the envelope names",
        in_bundle(rewrite(ENVELOPE, lambda data: data.replace(b"cobblestone-256", b"rot-13", 1))),
        "changed-file",
        codes={UNPINNED: "envelope-algorithm"},
    ),
    *(Case(f"extra: {name}", in_bundle(add(path)), "extra-file") for name, path in _EXTRA.items()),
    *(
        Case(f"extra folder: {name}", in_bundle(add(path)), "extra-directory")
        for name, path in _FOLDERS.items()
    ),
    Case("extra: 1500 files", in_bundle(_many(1500, ".")), "extra-file"),
    Case("extra: 20,002 files", in_bundle(_many(20_002, "model")), "too-many-files"),
    Case("empty folder", in_bundle(_add_folder("logs")), "empty-directory"),
    Case("empty folder in empty folders", in_bundle(_add_folder("a/b/c")), "empty-directory"),
    Case("empty folder of signatures", in_bundle(_add_folder("signatures")), "empty-directory"),
    Case("missing: decoder", in_bundle(remove(DECODER)), "missing-file"),
    Case("missing: metadata", in_bundle(remove(METADATA)), "missing-file"),
    Case("missing: envelope", in_bundle(remove(ENVELOPE)), "missing-file", codes=_FIRST),
    Case("missing: signature", in_bundle(remove("model.sig")), "signature-missing"),
    Case("missing: folder", in_bundle(lambda b: shutil.rmtree(b / "runtime")), "missing-file"),
    Case("missing: all", in_bundle(_emptied), "signature-missing", codes=_FIRST),
    Case("renamed", in_bundle(_rename("README.md", "README.txt")), "missing-file"),
    Case("renamed by case", in_bundle(_rename("README.md", "readme.md")), "missing-file"),
    Case("folder instead of a file", in_bundle(replaced("README.md", _folder)), "missing-file"),
    Case(
        "folder instead of the signature", in_bundle(replaced("model.sig", _folder)), "unreadable"
    ),
    Case("file instead of a folder", in_bundle(_file_instead_of_folder), "missing-file"),
    Case("link to a file elsewhere", in_bundle(_linked_elsewhere(ENCODER)), "symlink"),
    Case("link to a folder elsewhere", in_bundle(_linked_elsewhere("runtime")), "symlink"),
    Case(
        "link to the model elsewhere",
        in_bundle(_linked_elsewhere("model")),
        "symlink",
        codes={UNPINNED: "unreadable"},
    ),
    Case("link to the signature elsewhere", in_bundle(_linked_elsewhere("model.sig")), "symlink"),
    Case("link to a file of the bundle", in_bundle(_link(DECODER, "encoder.onnx.enc")), "symlink"),
    Case("link to nowhere", in_bundle(_add_link("link", "/nowhere")), "symlink"),
    Case("link to itself", in_bundle(_add_link("loop", "loop")), "symlink"),
    Case("link to its own folder", in_bundle(_add_link("model/up", "..")), "symlink"),
    Case("link to zeros without end", in_bundle(_link("README.md", "/dev/zero")), "symlink"),
    Case("link to memory", in_bundle(_link("README.md", "/proc/self/mem")), "symlink"),
    Case("hard link", in_bundle(_hard_link("README.md")), "hard-link"),
    Case("hard link of the signature", in_bundle(_hard_link("model.sig")), "hard-link"),
    *(
        Case(f"{name} more", in_bundle(_at(make)), "special-file")
        for name, make in _SPECIAL.items()
    ),
    *(
        Case(f"{name} instead of a file", in_bundle(replaced("README.md", make)), "special-file")
        for name, make in _SPECIAL.items()
    ),
    *(
        Case(
            f"{name} instead of the signature",
            in_bundle(replaced("model.sig", make)),
            "special-file",
        )
        for name, make in _SPECIAL.items()
    ),
    Case(
        "pipe instead of the envelope",
        in_bundle(replaced(ENVELOPE, os.mkfifo)),
        "special-file",
        codes={UNPINNED: "unreadable"},
    ),
    Case("pipe instead of the metadata", in_bundle(replaced(METADATA, os.mkfifo)), "special-file"),
    *(
        Case(name, in_bundle(_mode(path, mode)), code)
        for name, (path, mode, code) in _MODES.items()
    ),
    Case("terabyte: encoder", in_bundle(_sparse(ENCODER)), "too-large"),
    Case("terabyte: signature", in_bundle(_sparse("model.sig")), "too-large"),
    Case("terabyte: metadata", in_bundle(_sparse(METADATA)), "too-large"),
    Case("terabyte: envelope", in_bundle(_sparse(ENVELOPE)), "too-large"),
    Case("terabyte: a file more", in_bundle(_sparse("extra.bin")), "extra-file"),
    Case(
        "terabyte: a further signature",
        in_bundle(_sparse_signature),
        "too-large",
    ),
    Case("unreadable: file", _unreadable("README.md"), "unreadable", unprivileged=True),
    Case("unreadable: folder", _unreadable("runtime"), "unreadable", unprivileged=True),
    Case("unreadable: signature", _unreadable("model.sig"), "unreadable", unprivileged=True),
    *_SWAPS,
    Case("no bundle there", lambda sealed: None, "bundle-missing", exit_code=INPUT, bundle="none"),
    Case(
        "a file instead of a bundle",
        lambda sealed: None,
        "bundle-not-directory",
        exit_code=INPUT,
        bundle="bundle/model.sig",
    ),
    Case(
        "a link to nowhere instead of a bundle",
        lambda sealed: (sealed.folder / "nowhere").symlink_to("none"),
        "bundle-not-directory",
        exit_code=INPUT,
        bundle="nowhere",
    ),
]
