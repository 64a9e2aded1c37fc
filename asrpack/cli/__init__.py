"""The command line: one verb a file, loaded only when it is called.

Importing a verb's module is what costs time, so the table below holds what ``--help`` needs.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from asrpack import __version__
from asrpack.cli.apps import new_app
from asrpack.errors import (
    INTERRUPTED,
    TERMINATED,
    AsrpackError,
    Terminated,
    ToolchainError,
    interruption,
)
from asrpack.runtime.command_line import carry_out, tell_error
from asrpack.runtime.console import say

# verb: (module, function, one line of help)
VERBS: dict[str, tuple[str, str, str]] = {
    "init": ("init", "init", "Look at a model directory and write a recipe for it."),
    "check": ("check", "check", "Check a recipe and all that it names; build nothing."),
    "schema": ("schema", "schema", "Print the recipe's JSON Schema."),
    "plan": ("plan", "plan", "Show what a build would run, and why."),
    "build": ("build", "build", "Build the bundle that a recipe describes."),
    "rebuild": ("rebuild", "rebuild", "Build an artifact again from its lock; say what differs."),
    "report": ("report", "report", "Make a build's report anew from what it left."),
    "verify": ("verify", "verify", "Check a bundle against what this host trusts."),
    "sign": ("sign", "sign", "Sign a signed bundle, too: countersign it."),
    "trust": ("trust", "trust", "Say whose bundles this host runs."),
    "inspect": ("inspect", "inspect", "Show what a bundle says it is."),
    "diff": ("diff", "diff", "Show what differs between two bundles, or two builds."),
    "run": ("run", "run", "Transcribe audio files with a bundle."),
    "serve": ("serve", "serve", "Serve a bundle over HTTP."),
    "personalize": (
        "personalize",
        "personalize",
        "Make each customer's own bundle from one build.",
    ),
    "registry": ("registry", "registry", "Show who got which bundles and licences."),
    "bench": ("bench", "bench", "Measure how fast a bundle is here, and its memory."),
    "stress": ("stress", "stress", "Load a service with many clients at once; measure it."),
    "trace": ("trace", "trace", "Find out whose copy a model was made from."),
    "commit": ("trace", "commit", "Make what to have time-stamped before shipping."),
    "recipients": ("recipients", "recipients", "Show and change who can open a finished bundle."),
    "resign": ("resign", "resign", "Sign a finished bundle with another key of its vendor."),
    "keys": ("keys", "keys", "Make and show keys."),
    "license": ("license", "license", "Issue, renew, show and check licences."),
    "doctor": ("doctor", "doctor", "Find what is wrong with this machine or its packages."),
}
INTERNAL_ERROR = 1


class _LazyGroup(TyperGroup):
    """Knows its verbs by name; imports a verb's module when the verb is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in VERBS:
            return None
        if ctx.resilient_parsing is False and _wants_overview():
            return TyperCommand(cmd_name, help=VERBS[cmd_name][2])
        module, function, short = VERBS[cmd_name]
        target = getattr(importlib.import_module(f"asrpack.cli.{module}"), function)
        if isinstance(target, typer.Typer):
            command = typer.main.get_command(target)
        else:
            single = new_app()
            single.command(cmd_name, help=target.__doc__ or short)(target)
            command = typer.main.get_command(single)
        command.name = cmd_name
        return command


_argv: list[str] = []


def _wants_overview() -> bool:
    return not _argv or _argv[0] in ("--help", "-h")


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"asrpack {__version__}")
        raise typer.Exit


app = new_app(cls=_LazyGroup, no_args_is_help=True)


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Compile trained speech recognition models into sealed bundles that run offline.

    Exit codes: 0 done, 1 internal error, 2 usage, 3 recipe or input, 4 toolchain or environment,
    5 gate not met, 6 integrity or signature, 7 licence or key, 8 something differs, 130 Ctrl-C,
    141 nobody reads the output any more, 143 SIGTERM.
    """


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit code; the only place that prints errors."""
    _argv[:] = sys.argv[1:] if argv is None else argv
    try:
        return carry_out(_command)
    except Exception:
        return _report_bug()


def _command() -> int:
    as_json = "--json" in _argv
    try:
        app(args=list(_argv), prog_name="asrpack", standalone_mode=True)
    except AsrpackError as error:
        return tell_error(error, as_json=as_json)
    except KeyboardInterrupt:
        return _interrupted(INTERRUPTED)
    except Terminated:
        return _interrupted(TERMINATED)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:  # Typer makes that of KeyboardInterrupt
            return _interrupted(INTERRUPTED)
        if isinstance(stop.__context__, BrokenPipeError):  # and an exit of this
            raise stop.__context__ from None
        return stop.code if isinstance(stop.code, int) else INTERNAL_ERROR
    except ModuleNotFoundError as error:
        if (error.name or "asrpack").startswith("asrpack"):
            raise
        return tell_error(_missing_package(error), as_json=as_json)
    return 0


def _interrupted(code: int) -> int:
    verb, *more = _argv or ["asrpack"]
    into_folder = verb == "run" and any(item.startswith(("-o", "--output")) for item in more)
    resumes = verb in ("build", "personalize") or into_folder
    say(f"asrpack: {interruption(verb, resumes=resumes)}", error=True)
    return code


def _missing_package(error: ModuleNotFoundError) -> ToolchainError:
    return ToolchainError(
        f"the package {error.name} is not installed; this verb needs the build toolchain",
        code="package-missing",
        place=sys.prefix,
        remedy="pip install 'asrpack[build]'",
    )


def _report_bug() -> int:
    import tempfile
    import traceback

    handle, path = tempfile.mkstemp(prefix="asrpack-error-", suffix=".log")
    with os.fdopen(handle, "w", encoding="utf-8") as log:
        # The verb only: arguments may name what the user would not send on.
        log.write(f"asrpack {__version__}, python {sys.version}, verb {_argv[:1]}\n")
        log.write(traceback.format_exc())
    cause = traceback.format_exception_only(sys.exception())[-1].strip()
    say(
        f"asrpack: internal error: {cause}\n"
        f"  this is a fault of asrpack; please report it with {path}",
        error=True,
    )
    return INTERNAL_ERROR
