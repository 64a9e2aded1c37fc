"""What ``asrpack`` and a bundle's own command line share: how a command ends, whatever happens."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

from asrpack.errors import AsrpackError, Terminated, ToolchainError
from asrpack.runtime.console import OUTPUT, discard, say

UNREAD = 141
"""Exit code where nobody reads the output any more, as shells have it."""
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


def carry_out(command: Callable[[], int]) -> int:
    """Runs a command whose standard streams may be closed, full, or a pipe that nobody reads.

    Returns:
        Its exit code; :data:`UNREAD`, or that of a ToolchainError, where it could not write.
    """
    _open_closed_streams()
    try:
        code = command()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has seen enough
        discard(sys.stdout)
        return UNREAD
    except OSError as error:
        if error.filename != OUTPUT and error.errno not in _NO_ROOM:
            raise
        discard(sys.stdout)
        return tell_error(_unwritable(error), as_json=False)
    return code


def tell_error(error: AsrpackError, *, as_json: bool) -> int:
    """Tells an error, as JSON on standard output or else on standard error; its exit code."""
    if as_json:
        findings = [item.as_dict() for item in getattr(error, "errors", [error])]
        about = {"ok": False, "error": error.code, "exit_code": error.exit_code}
        say(json.dumps({**about, "findings": findings}, ensure_ascii=False))
    else:
        say(f"asrpack: {error}", error=True)
    return error.exit_code


def end_at_sigterm() -> None:
    """SIGTERM raises :class:`Terminated`, as Ctrl-C raises KeyboardInterrupt.

    A container's first process ignores the signal otherwise.
    """

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise Terminated

    signal.signal(signal.SIGTERM, end)


def _unwritable(error: OSError) -> ToolchainError:
    return ToolchainError(
        f"cannot write: {error.strerror}",
        code="unwritable",
        place=error.filename,
        remedy="make room on the disk, or write to another",
    )


def _open_closed_streams() -> None:
    """Or files that are opened next get their numbers, and what libraries say there.

    ``sys.stdin`` stays None, so that who would read it can tell.
    """
    if sys.stdin is None:
        os.open(os.devnull, os.O_RDONLY)
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
