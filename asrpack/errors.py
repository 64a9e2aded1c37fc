"""Errors a user can act on: each has a place, a cause, a remedy and an exit code.

Standard library only: this file ships inside bundles.
"""

from __future__ import annotations

from typing import ClassVar

INTERRUPTED = 130
"""Exit code of what Ctrl-C stopped, as shells have it."""

TERMINATED = 143
"""Exit code of what SIGTERM stopped, as shells have it."""


class Terminated(BaseException):
    """SIGTERM came, where it ends a command as Ctrl-C does."""


def interruption(verb: str, *, resumes: bool) -> str:
    """What a command says that Ctrl-C or SIGTERM stopped.

    Args:
        resumes: it keeps what it had finished.
    """
    if resumes:
        how = "the same command goes on where it stopped"
    elif verb in ("run", "transcribe"):
        how = "start it again; with -o FOLDER it can go on where it stopped"
    else:
        how = "start it again"
    return f"{verb} interrupted: {how}"


class AsrpackError(Exception):
    """An expected failure. The command line prints it without a traceback.

    Args:
        message: the cause, one sentence, with the offending value.
        code: stable kebab-case identifier that scripts can match on.
        place: where: a file, ``file:line:column``, a stage, a tensor.
        remedy: what to do next, as an instruction.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self, message: str, *, code: str = "", place: str | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).__name__.removesuffix("Error").lower()
        self.place = place
        self.remedy = remedy

    def __str__(self) -> str:
        head = f"{self.place}: {self.message}" if self.place else self.message
        return f"{head}\n  remedy: {self.remedy}" if self.remedy else head

    def as_dict(self) -> dict[str, object]:
        """The error as ``--json`` prints it."""
        return {
            "code": self.code,
            "path": self.place,
            "message": self.message,
            "remedy": self.remedy,
            "exit_code": self.exit_code,
        }


class UsageError(AsrpackError):
    """The command line's words are off."""

    exit_code = 2


class InputError(AsrpackError):
    """The recipe, the model directory or the data is at fault."""

    exit_code = 3


class ToolchainError(AsrpackError):
    """A package, a tool or the machine is at fault."""

    exit_code = 4


class GateError(AsrpackError):
    """The candidate was measured and did not meet the recipe's gate."""

    exit_code = 5


class IntegrityError(AsrpackError):
    """The bundle is not what its vendor signed."""

    exit_code = 6


class KeyFileError(AsrpackError):
    """A key or licence is missing, unreadable or not the right one."""

    exit_code = 7


class ErrorGroup(AsrpackError):  # noqa: N818 - as ExceptionGroup is named
    """Several errors found in one pass, so that the user mends them in one go."""

    def __init__(self, errors: list[AsrpackError]) -> None:
        super().__init__(f"{len(errors)} errors", code="several")
        self.errors = errors
        self.exit_code = errors[0].exit_code  # type: ignore[misc]

    def __reduce__(self) -> tuple[type[ErrorGroup], tuple[list[AsrpackError]]]:
        return ErrorGroup, (self.errors,)  # from one process to another

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)
