"""The bundle's own command line: ``PYTHONPATH=BUNDLE/runtime python3 -m asrpack.runtime``.

Standard library's argparse only; the rest is imported once a command is known to be well formed.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence
from importlib.util import cache_from_source
from pathlib import Path

# Python's bytecode cache inside a bundle would be files that nobody signed.
sys.dont_write_bytecode = True

from asrpack.errors import (  # noqa: E402
    INTERRUPTED,
    TERMINATED,
    AsrpackError,
    Terminated,
    UsageError,
    interruption,
)
from asrpack.runtime.bench import flags as bench  # noqa: E402
from asrpack.runtime.command_line import carry_out, end_at_sigterm, tell_error  # noqa: E402
from asrpack.runtime.console import say  # noqa: E402
from asrpack.runtime.service.flags import add_flags, settings_of  # noqa: E402

# BUNDLE/runtime/asrpack/runtime/__main__.py
_AROUND = Path(__file__).resolve().parents[3]
SIGNATURE = "model.sig"
OWN_BUNDLE = _AROUND if (_AROUND / SIGNATURE).is_file() else None


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code as asrpack documents them."""
    _remove_own_bytecode()
    options = _parser().parse_args(argv)
    try:
        return carry_out(lambda: _command(options))
    except Exception as error:
        return _report_bug(error)


def _command(options: argparse.Namespace) -> int:
    try:
        return _dispatch(options)
    except AsrpackError as error:
        return tell_error(error, as_json=getattr(options, "json", False))
    except (KeyboardInterrupt, Terminated) as stop:
        resumes = getattr(options, "output", None) is not None
        say(f"asrpack: {interruption(options.verb, resumes=resumes)}", error=True)
        return TERMINATED if isinstance(stop, Terminated) else INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m asrpack.runtime",
        description="Run an asrpack bundle.",
    )
    verbs = parser.add_subparsers(
        dest="verb", required=True, metavar="{transcribe,serve,bench,verify,selftest,host}"
    )

    def add(
        name: str, text: str, *, bundle: str, aliases: Sequence[str] = ()
    ) -> argparse.ArgumentParser:
        verb = verbs.add_parser(name, help=text, description=text, aliases=aliases)
        verb.add_argument("paths", nargs="*", type=Path, metavar=bundle)
        verb.add_argument(
            "--trust",
            action="append",
            default=[],
            type=Path,
            metavar="FILE",
            help="the vendor's public key, or a trust policy; default: $ASRPACK_TRUST, else "
            "/etc/asrpack/trust.json",
        )
        if name != "verify":
            verb.add_argument(
                "--identity",
                metavar="PRIVATE_KEY",
                help="yours: a path, env:NAME, cmd:COMMAND, passphrase: before one of these, or a "
                "URI like pkcs11:…; default: $ASRPACK_IDENTITY",
            )
            verb.add_argument(
                "--license",
                type=Path,
                metavar="FILE",
                help="the vendor's licence, or a folder of them; default: $ASRPACK_LICENSE, then "
                "licence.json beside the bundle",
            )
            verb.add_argument(
                "--threads", type=_count, default=0, help="0: one for each physical core"
            )
        if name not in ("serve", "selftest"):
            verb.add_argument("--json", action="store_true", help="print JSON only")
        return verb

    # Its name in bundles that were made before it took folders.
    run = add("transcribe", "Transcribe.", bundle="[BUNDLE] FILE|FOLDER|-", aliases=["run"])
    run.add_argument("--decode", metavar="METHOD", help="default: the model's own")
    run.add_argument(
        "--streaming",
        action="store_true",
        help="hear the files piece by piece, as from a microphone; any length",
    )
    run.add_argument("--hotwords", type=Path, metavar="FILE", help="phrases to prefer, one a line")
    run.add_argument("--nbest", type=_count, default=0, help="with --json: so many hypotheses, too")
    run.add_argument(
        "--times", action="store_true", help="with --json: when each unit was spoken, too"
    )
    run.add_argument(
        "--format", metavar="text|json|srt|vtt|ctm", help="default: text; with --json: json"
    )
    run.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FOLDER",
        help="write a file of each; a run that was stopped goes on there",
    )
    run.add_argument("--overwrite", action="store_true", help="do what is there already again")
    run.add_argument(
        "--workers", type=_count, default=0, help="recordings at a time; 0: by the cores"
    )
    add_flags(
        add(
            "serve",
            "Serve over HTTP, as OpenAI's transcription API, until SIGTERM.",
            bundle="BUNDLE",
        )
    )
    bench.add_flags(add("bench", "Measure speed and memory on this host.", bundle="BUNDLE"))
    add("verify", "Check files and signature.", bundle="BUNDLE")
    add("selftest", "Verify, decrypt, load and run once.", bundle="BUNDLE")
    text = "Print what tells this host from others, for a licence that is bound to it."
    host = verbs.add_parser("host", help=text, description=text)
    host.add_argument(
        "--needed", type=_count, metavar="K", help="so many must agree; default: over half"
    )
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def _dispatch(options: argparse.Namespace) -> int:
    if options.verb == "host":
        from asrpack.runtime.host_factors import describe_host

        say(describe_host(options.needed).to_json().decode())
        return 0
    transcribes = options.verb in ("transcribe", "run")
    bundle, rest = _split(options.paths, others=transcribes)
    if transcribes and not rest:
        raise UsageError(
            "no audio was given", code="usage", remedy="transcribe [BUNDLE] FILE|FOLDER|-"
        )
    if not transcribes and rest:
        raise UsageError(f"one bundle at a time, not also {rest[0]}", code="usage")
    if transcribes:
        end_at_sigterm()
    if options.verb == "verify":
        return _verify(bundle, options)
    common = {
        "identity": options.identity,
        "trust": options.trust,
        "licence": options.license,
        "threads": options.threads,
    }
    if options.verb == "bench":
        from asrpack.runtime.bench import command

        values = bench.values_of(options)
        return command.bench(bundle, as_json=options.json, **values, **common)
    from asrpack.runtime import commands

    if options.verb == "serve":
        del common["threads"]  # they are the workers
        return commands.serve(bundle, settings_of(options), **common)
    if options.verb == "selftest":
        return commands.selftest(bundle, **common)
    return commands.run(
        bundle,
        rest,
        decode=options.decode,
        streaming=options.streaming,
        hotwords=options.hotwords,
        nbest=options.nbest,
        times=options.times,
        form=options.format,
        as_json=options.json,
        output=options.output,
        overwrite=options.overwrite,
        workers=options.workers,
        **common,
    )


def _verify(bundle: Path, options: argparse.Namespace) -> int:
    """As the stand-alone ``verify.py`` does; needs no private key."""
    from asrpack.bundle import verify
    from asrpack.runtime.keyring import needed_trust

    flags = [f"--trust={path}" for path in needed_trust(options.trust)]
    flags += ["--json"] if options.json else []
    return verify.main([str(bundle), *flags])


def _split(paths: Sequence[Path], *, others: bool) -> tuple[Path, Sequence[Path]]:
    """The bundle and what follows; inside a bundle the first may be left out.

    Args:
        others: the first folder may be one of audio.
    """
    named = bool(paths) and paths[0].is_dir() and (not others or (paths[0] / SIGNATURE).is_file())
    if OWN_BUNDLE is not None and not named:
        return OWN_BUNDLE, paths
    if not paths:
        raise UsageError("no bundle was given", code="usage", remedy="give its directory first")
    return paths[0], paths[1:]


def _report_bug(error: Exception) -> int:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    say(
        f"asrpack: internal error: {type(error).__name__}: {error}\n"
        f"  at {frame.filename}:{frame.lineno}; please report it to the bundle's vendor",
        error=True,
    )
    return 1


def _remove_own_bytecode() -> None:
    """Python caches this file and the packages around it before a line of theirs can forbid it."""
    if OWN_BUNDLE is None:
        return
    here = Path(__file__).resolve()
    for source in (here, here.with_name("__init__.py"), here.parents[1] / "__init__.py"):
        cached = Path(cache_from_source(source))
        cached.unlink(missing_ok=True)
        if cached.parent.is_dir() and not any(cached.parent.iterdir()):
            cached.parent.rmdir()


if __name__ == "__main__":
    sys.exit(main())
