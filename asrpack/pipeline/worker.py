"""Runs one stage in a child process: clean environment, time limit, all output in a log.

Paddle takes seconds to import, PaddleSpeech runs pip on import and paddle2onnx aborts the whole
process on what it cannot convert; none of that may reach the build's own process.

Protocol: the job is one JSON object on standard input; events are JSON lines on what was standard
output. The child's file descriptors 1 and 2 both go to the log.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from asrpack import errors
from asrpack.errors import AsrpackError, ToolchainError
from asrpack.stages.stage import Context, Params, Stage

KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "SYSTEMROOT")
FIXED = {
    "PYTHONHASHSEED": "0",
    "PIP_NO_INDEX": "1",  # PaddleSpeech runs pip on import; offline it would hang on retries
    "ORT_DISABLE_TELEMETRY": "1",
    "PYTHONUNBUFFERED": "1",
}
LOG_TAIL = 12
EXCEPTION = re.compile(r"[\w.]+(Error|Exception|Interrupt)\b")
PR_SET_PDEATHSIG = 1


def run_isolated(
    stage: Stage,
    params: Params,
    inputs: Mapping[str, Path],
    workspace: Path,
    context: Context,
) -> None:
    """Runs the stage in a child; outputs in ``workspace/out``, its log in ``workspace/log.txt``.

    Raises:
        AsrpackError: as the stage raised it.
        ToolchainError: the child died or took too long; the message names the signal or operator.
    """
    job = {
        "stage": f"{type(stage).__module__}:{type(stage).__qualname__}",
        "params": params.model_dump(mode="json"),
        "inputs": {name: str(path) for name, path in inputs.items()},
        "out": str(workspace / "out"),
        "scratch": None if context.scratch is None else str(context.scratch),
        "known": None if context.known is None else str(context.known),
        "parent": os.getpid(),
        "path": sys.path,
    }
    scratch = workspace / "scratch"  # toolchains leave logs in the current directory
    scratch.mkdir()
    environment = {name: os.environ[name] for name in KEPT if name in os.environ} | FIXED
    log = workspace / "log.txt"
    with log.open("wb") as log_stream:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "asrpack.pipeline.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log_stream,
            env=environment,
            cwd=scratch,
            start_new_session=True,
            text=True,
        )
        expired = threading.Event()
        timer = threading.Timer(stage.timeout, _kill, (child, expired))
        timer.start()
        try:
            failure = _converse(child, job, context)
            child.wait()
        finally:
            timer.cancel()
            _kill(child)
            child.wait()
    if expired.is_set():
        raise ToolchainError(
            f"stage {stage.name} took longer than its limit of {stage.timeout:.0f} s",
            code="stage-timeout",
            place=f"stage {stage.name}",
            remedy="use a faster machine or a smaller test set; the log shows how far it came",
        )
    if failure is not None:
        raise failure
    if child.returncode != 0:
        raise _explain(stage, child.returncode, log)


def _converse(
    child: subprocess.Popen[str], job: Mapping[str, Any], context: Context
) -> AsrpackError | None:
    assert child.stdin is not None and child.stdout is not None
    try:
        with child.stdin as stdin:
            stdin.write(json.dumps(job))
    except BrokenPipeError:
        return None  # it died at once: its exit code says why
    failure = None
    for line in child.stdout:
        event = json.loads(line)
        if "error" in event:
            failure = _revive(event["error"])
        else:
            context.progress(event["done"], event["total"], event["text"])
    return failure


def _revive(raw: Mapping[str, Any]) -> AsrpackError:
    if raw["kind"] == "ErrorGroup":
        return errors.ErrorGroup([_revive(item) for item in raw["errors"]])
    kind: type[AsrpackError] = getattr(errors, raw["kind"])
    return kind(raw["message"], code=raw["code"], place=raw["place"], remedy=raw["remedy"])


def _kill(child: subprocess.Popen[str], expired: threading.Event | None = None) -> None:
    if child.poll() is None:
        if expired is not None:
            expired.set()
        os.killpg(child.pid, signal.SIGKILL)


def _explain(stage: Stage, returncode: int, log: Path) -> ToolchainError:
    text = log.read_text(encoding="utf-8", errors="replace")
    name = signal.Signals(-returncode).name if returncode < 0 else f"exit code {returncode}"
    lines = text.strip().splitlines()[-LOG_TAIL:]
    raised = lines[-1] if lines and EXCEPTION.match(lines[-1]) else None
    cause = stage.explain(text) or raised or "the worker process died"
    tail = "\n    ".join(lines)
    return ToolchainError(
        f"{cause} ({name})\n    {tail}",
        code="worker-died",
        place=f"stage {stage.name}",
        remedy="run `asrpack doctor`; the whole output is in the log",
    )


def main() -> None:
    """The child's side."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    job = json.load(sys.stdin)
    die_with_parent(job["parent"])
    sys.path[:] = job["path"]  # stages come from where the build found them
    module, name = job["stage"].split(":")
    stage: Stage = getattr(importlib.import_module(module), name)()
    inputs = {key: Path(value) for key, value in job["inputs"].items()}
    try:
        params = stage.Params.model_validate(job["params"])
        scratch, known = (job[name] and Path(job[name]) for name in ("scratch", "known"))
        context = Context(_sender(events), scratch=scratch, known=known)
        stage.run(params, inputs, Path(job["out"]), context)
    except AsrpackError as error:
        _send(events, {"error": _pack(error)})
    # Paddle's and onnxruntime's own exit handlers are known to crash: all is written, leave.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _sender(events: TextIO) -> Any:
    return lambda done, total, text: _send(events, {"done": done, "total": total, "text": text})


def _send(events: TextIO, event: Mapping[str, Any]) -> None:
    events.write(json.dumps(event) + "\n")
    events.flush()


def _pack(error: AsrpackError) -> dict[str, Any]:
    if isinstance(error, errors.ErrorGroup):
        return {"kind": "ErrorGroup", "errors": [_pack(item) for item in error.errors]}
    return {
        "kind": type(error).__name__,
        "message": error.message,
        "code": error.code,
        "place": error.place,
        "remedy": error.remedy,
    }


def die_with_parent(parent: int) -> None:
    """A build killed with -9 must not leave its worker running."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


if __name__ == "__main__":
    main()
