"""Small real stages: they read and write files, and some misbehave on request."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from asrpack.errors import InputError
from asrpack.stages import stage
from asrpack.stages.stage import Context, Stage


class UpperParams(stage.Params):
    suffix: str = ""


class Upper(Stage):
    name: ClassVar[str] = "upper"
    outputs: ClassVar[tuple[str, ...]] = ("text",)
    Params: ClassVar[type[stage.Params]] = UpperParams

    def run(
        self, params: UpperParams, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        context.progress(1, 2, "half")
        (out / "text").write_text(inputs["text"].read_text().upper() + params.suffix)


class Count(Stage):
    name: ClassVar[str] = "count"
    outputs: ClassVar[tuple[str, ...]] = ("folder",)

    def run(
        self, params: stage.Params, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        (out / "folder").mkdir()
        (out / "folder" / "length").write_text(str(len(inputs["text"].read_text())))


class WorkerParams(stage.Params):
    mode: str = "work"


class Worker(Stage):
    name: ClassVar[str] = "worker"
    outputs: ClassVar[tuple[str, ...]] = ("text",)
    isolated: ClassVar[bool] = True
    timeout: ClassVar[float] = 20.0
    Params: ClassVar[type[stage.Params]] = WorkerParams

    def run(
        self, params: WorkerParams, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        os.write(1, b"noise on standard output\n")
        context.progress(1, 3, "begun")
        match params.mode:
            case "abort":
                os.write(2, b"(ConvertOp) operator conv9d is not supported\n")
                os.abort()
            case "error":
                raise InputError("bad", code="bad-one", place="here", remedy="mend it")
            case "bug":
                raise RuntimeError("surprise")
            case "hang":
                time.sleep(60)
            case "nothing":
                return
        leaked = [name for name in os.environ if name.startswith("SECRET")]
        (out / "text").write_text(f"{os.environ['PIP_NO_INDEX']} {leaked}")

    def explain(self, log: str) -> str | None:
        return "operator conv9d cannot be converted" if "conv9d" in log else None


class Impatient(Worker):
    name: ClassVar[str] = "impatient"
    timeout: ClassVar[float] = 1.5


class Secretive(Stage):
    name: ClassVar[str] = "secretive"
    outputs: ClassVar[tuple[str, ...]] = ("length",)

    def run(
        self, params: stage.Params, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        (out / "length").write_text(str(len(context.secrets["key"])))


class Resuming(Stage):
    """Fails at its first run, and goes on from what that one kept."""

    name: ClassVar[str] = "resuming"
    outputs: ClassVar[tuple[str, ...]] = ("text",)
    isolated: ClassVar[bool] = True
    resumes: ClassVar[bool] = True

    def run(
        self, params: stage.Params, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        assert context.scratch is not None
        kept = context.scratch / "kept"
        if not kept.exists():
            kept.write_text("half of the work")
            os.abort()
        (out / "text").write_text(kept.read_text())


class Slow(Stage):
    """Leaves a trace beside its input each time that it really runs."""

    name: ClassVar[str] = "slow"
    outputs: ClassVar[tuple[str, ...]] = ("text",)

    def run(
        self, params: stage.Params, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        with (inputs["text"].parent / "runs").open("a") as trace:
            trace.write("ran\n")
        time.sleep(5)
        (out / "text").write_text("done")


def options(**values: Any) -> WorkerParams:
    return WorkerParams(**values)
