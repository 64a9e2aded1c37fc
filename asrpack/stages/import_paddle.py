"""``import`` of Paddle Inference files: asrpack's own export again, or another's program."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from asrpack.networks.families import graph_specs
from asrpack.recipe.model_source import OnnxDetails
from asrpack.stages import stage
from asrpack.stages.stage import Context, Params, Stage


class ImportExported(Stage):
    """Takes an artifact's ``paddle/`` back in.

    Inputs: ``model``. Outputs: ``model.json``, ``paddle/`` with each graph.
    """

    name: ClassVar[str] = "import"
    outputs: ClassVar[tuple[str, ...]] = ("model.json", "paddle")

    def run(self, params: Params, inputs: Mapping[str, Path], out: Path, context: Context) -> None:
        """Copies what the description names.

        Raises:
            InputError: a file is missing.
        """
        from asrpack.frontends.paddle_inference import own_description

        description = own_description(inputs["model"])
        assert description is not None  # looked at before the build
        (out / "model.json").write_text(description.to_json(), encoding="utf-8")
        (out / "paddle").mkdir()
        for spec in graph_specs(description):
            for suffix in (".json", ".pdiparams"):
                name = f"{spec.name}{suffix}"
                shutil.copyfile(inputs["model"] / name, out / "paddle" / name)


class ImportProgramParams(stage.Params):
    """``program`` names one of several; ``details`` as the recipe's ``model`` gives them."""

    program: str | None = None
    details: OnnxDetails = OnnxDetails()


class ImportProgram(Stage):
    """A program of another's to ONNX at once: what it does not tell is found by running it there.

    The ``expect`` stage holds the result against Paddle Inference. Inputs: ``model``, ``tokens``.
    Outputs: ``model.json``, ``onnx/``, and ``paddle/`` with the program as ``encoder``.
    """

    name: ClassVar[str] = "import"
    outputs: ClassVar[tuple[str, ...]] = ("model.json", "onnx", "paddle")
    tools: ClassVar[tuple[str, ...]] = (
        "numpy",
        "onnx",
        "onnx-ir",
        "onnxruntime",
        "paddle2onnx",
        "paddlepaddle",
    )
    isolated: ClassVar[bool] = True
    Params: ClassVar[type[stage.Params]] = ImportProgramParams

    def run(
        self, params: ImportProgramParams, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        """Translates, converts, and gives the graph asrpack's interface.

        Raises:
            InputError: the description is not of this program.
            ToolchainError: Paddle cannot translate it, or paddle2onnx not convert it.
        """
        from dataclasses import replace

        from asrpack.frontends import onnx_ctc
        from asrpack.frontends.onnx_file import open_onnx
        from asrpack.frontends.onnx_tokens import find_tokens
        from asrpack.frontends.paddle_inference import FAMILY, find_program
        from asrpack.graph.files import save_proto
        from asrpack.graph.from_paddle import convert_program
        from asrpack.graph.import_graphs import build
        from asrpack.networks.paddle_program import to_pir
        from asrpack.recipe.model_source import OnnxModel

        found = find_program(inputs["model"], params.program)
        (out / "paddle").mkdir()
        (out / "onnx").mkdir()
        program = out / "paddle" / "encoder"
        to_pir(found.program, found.parameters, program)
        context.progress(1, 3, "converting")
        converted = Path("converted.onnx").absolute()
        save_proto(convert_program(program), converted)
        model = OnnxModel.model_construct(
            source="onnx",
            path=converted,
            tokens=find_tokens(inputs["model"], inputs.get("tokens")),
            **dict(params.details),
        )
        imported = onnx_ctc.read(open_onnx(converted), model)
        description = replace(
            imported.description,
            family=FAMILY,
            network={**imported.description.network, "original": "paddle"},
        )
        context.progress(2, 3, "rewriting")
        for name, graph in build(
            imported.encoder, imported.files, graph_specs(description)
        ).items():
            save_proto(graph, out / "onnx" / f"{name}.onnx")
        (out / "model.json").write_text(description.to_json(), encoding="utf-8")

    def explain(self, log: str) -> str | None:
        """Names the operator that paddle2onnx aborted on."""
        from asrpack.graph.from_paddle import explain_abort

        return explain_abort(log)
