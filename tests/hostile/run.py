"""Runs hostile inputs, each in a process of its own, and measures what refusing them takes.

The process is forked from one in which all modules are loaded: what is measured is the work, not
the start of Python.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from asrpack.cli import main
from tests.hostile.bundles import SealedBundle, make_bundle
from tests.hostile.case import ALONE, RUN, SELFTEST, UNPINNED, VERIFY, Case

MAX_SECONDS = 1.0
"""Of CPU, for one input at one entrance."""
MAX_MEGABYTES = 200
"""By which the process may grow."""

_HANG = 60  # seconds of the clock: something waits
_SPACE = 4 << 30  # bytes of address space: what asks for more would take the machine down
_NOBODY = 65534
_MODULES = ("verify", "run")
_CODE = re.compile(r"\[([a-z0-9-]+)\]$", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """What one entrance did with one input.

    Attributes:
        seconds: of CPU.
        megabytes: by which its process grew at most.
        fault: what is wrong with that; None where it is as it must be.
    """

    group: str
    case: str
    entrance: str
    seconds: float
    megabytes: float
    fault: str | None


class Corpus:
    """A sound bundle and room for copies of it; a context manager.

    Args:
        folder: where; must exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.master = make_bundle(folder / "master")
        for verb in _MODULES:
            importlib.import_module(f"asrpack.cli.{verb}")
        importlib.import_module("asrpack.runtime.commands")
        self._verifier = _load(self.master.path / "verify.py")

    def run(self, group: str, case: Case) -> Iterator[Outcome]:
        """Makes the input and shows it to each entrance."""
        room = Path(tempfile.mkdtemp(dir=self._folder))
        try:
            room.chmod(0o755)
            sealed = self.master.copy(room / "sealed")
            if case.swap is None:
                _make(case, sealed)
            for entrance in (*case.by, *case.accepted_by):
                yield self._show(group, case, entrance, sealed)
                if case.swap is not None:
                    shutil.rmtree(sealed.folder)
                    sealed = self.master.copy(room / "sealed")
        finally:
            _remove(room)

    def _show(self, group: str, case: Case, entrance: str, sealed: SealedBundle) -> Outcome:
        before = None if case.swap else _listing(sealed.folder)
        out = sealed.folder.parent / "out"
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            os._exit(self._child(case, entrance, sealed, out, write))
        os.close(write)
        with os.fdopen(read, "rb") as stream:
            told = stream.read()
        _, status, usage = os.wait4(child, 0)
        code = os.waitstatus_to_exitcode(status)
        start = int(told or 0)
        outcome = (usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024 - start / (1 << 20))
        text = out.read_text(errors="replace") if out.exists() else ""
        fault = _fault(case, entrance, code, text)
        if fault is None and before is not None and _listing(sealed.folder) != before:
            fault = "it left something behind, or changed something"
        if fault is None and outcome[0] > MAX_SECONDS:
            fault = f"it took {outcome[0]:.1f} s"
        if fault is None and outcome[1] > MAX_MEGABYTES:
            fault = f"it took {outcome[1]:.0f} MB"
        return Outcome(group, case.name, entrance, *outcome, fault)

    def _child(self, case: Case, entrance: str, sealed: SealedBundle, out: Path, pipe: int) -> int:
        """Everything in the forked process; returns its exit code."""
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_HANG)
        resource.setrlimit(resource.RLIMIT_AS, (_SPACE, _SPACE))
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        for name in [name for name in os.environ if name.startswith("ASRPACK_")]:
            del os.environ[name]
        os.environ["ASRPACK_STATE"] = str(sealed.folder.parent / "state")
        tempfile.tempdir = str(sealed.folder)
        if case.unprivileged and os.geteuid() == 0:
            ctypes.CDLL(None).setfsuid(_NOBODY)
        if case.swap is not None:
            _watch(*case.swap, lambda: case.make(sealed))
        arguments = self._arguments(case, entrance, sealed)
        try:
            with Path("/proc/self/statm").open() as stream:
                os.write(pipe, b"%d" % (int(stream.read().split()[1]) * resource.getpagesize()))
            code = self._verifier.main(arguments) if entrance == ALONE else main(arguments)
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        return int(code)

    def _arguments(self, case: Case, entrance: str, sealed: SealedBundle) -> list[str]:
        bundle = str(sealed.folder / case.bundle)
        trust = ["--trust", str(sealed.folder / case.trust)]
        identity = ["--identity", str(sealed.folder / case.identity)]
        return {
            VERIFY: ["verify", bundle, *trust, "--json"],
            SELFTEST: ["verify", bundle, *trust, *identity, "--selftest", "--json"],
            RUN: ["run", bundle, "a.wav", *trust, *identity, "--json"],
            UNPINNED: ["run", bundle, "a.wav", *identity, "--json"],
            ALONE: [bundle, *trust, "--json"],
        }[entrance]


def _make(case: Case, sealed: SealedBundle) -> None:
    try:
        case.make(sealed)
    except Exception as error:
        error.add_note(f"while making: {case.name}")
        raise


@contextlib.contextmanager
def corpus() -> Iterator[Corpus]:
    """A corpus in a temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="asrpack-hostile-"))
    folder.chmod(0o755)  # also for whom files that cannot be read are made
    try:
        yield Corpus(folder)
    finally:
        _remove(folder)


def run_group(group: str, cases: Sequence[Case]) -> list[Outcome]:
    """All cases of a group at all their entrances."""
    with corpus() as sound:
        return [outcome for case in cases for outcome in sound.run(group, case)]


def _fault(case: Case, entrance: str, code: int, text: str) -> str | None:
    if code == -signal.SIGALRM:
        return f"it hangs: nothing after {_HANG} s"
    if code < 0:
        return f"it died of {signal.Signals(-code).name}"
    if "Traceback" in text or "internal error" in text:
        return f"it crashed: {text[-300:]}"
    if entrance in case.accepted_by:
        return None if code == 0 else f"it refused what the vendor signed: {text[:300]}"
    if code != case.exit_code:
        return f"it ended with {code}, not {case.exit_code}: {text[:300]}"
    wanted, said = case.code_for(entrance), _codes(text)
    return None if wanted in said else f"it said {', '.join(sorted(said)) or text}, not {wanted}"


def _codes(text: str) -> set[str]:
    """Of all findings; the stand-alone verifier says in words what is no bundle or no key."""
    for line in text.splitlines():
        with contextlib.suppress(ValueError, KeyError):
            return {item["code"] for item in json.loads(line)["findings"]}
    return set(_CODE.findall(text))


def _watch(leaf: str, number: int, act: object) -> None:
    """Calls ``act`` right before a file of that name is opened for the given time."""
    count = 0

    def see(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event == "open" and str(arguments[0]).rpartition("/")[2] == leaf:
            count += 1
            if count == number:
                assert callable(act)
                act()

    sys.addaudithook(see)


def _listing(folder: Path) -> list[tuple[str, int, int, int]]:
    """Names, modes, sizes and times of all that is there."""
    found = []
    for directory, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = os.path.join(directory, name)  # noqa: PTH118 - the name may be no UTF-8
            info = os.lstat(path)
            found.append((path, info.st_mode, info.st_size, info.st_mtime_ns))
    return sorted(found)


def _remove(folder: Path) -> None:
    for directory, folders, _ in os.walk(folder):
        for name in folders:
            path = Path(directory, name)
            if not path.is_symlink():
                path.chmod(0o755)
    shutil.rmtree(folder)


def _load(path: Path) -> ModuleType:
    """The bundle's verifier as a module of its own, from its file."""
    spec = importlib.util.spec_from_file_location("bundles_own_verifier", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    sys.dont_write_bytecode = True  # a cache in the bundle would be a fault of it
    spec.loader.exec_module(module)
    return module
