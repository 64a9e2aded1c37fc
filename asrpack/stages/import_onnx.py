"""``import`` of an ONNX model: a description, and graphs with asrpack's interface."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from asrpack.networks.families import graph_specs
from asrpack.recipe.model_source import OnnxDetails
from asrpack.stages import stage
from asrpack.stages.stage import Context, Stage


class ImportOnnxParams(stage.Params):
    """``details`` as the recipe's ``model`` gives them."""

    details: OnnxDetails = OnnxDetails()


class ImportOnnx(Stage):
    """Reads and checks an ONNX model, and gives its graphs asrpack's interface.

    Inputs: ``model`` (the file or the export's folder), ``tokens`` (where it is not beside).
    Outputs: ``model.json`` (:class:`asrpack.bundle.model.ModelDescription`), ``onnx/``.
    """

    name: ClassVar[str] = "import"
    outputs: ClassVar[tuple[str, ...]] = ("model.json", "onnx")
    tools: ClassVar[tuple[str, ...]] = ("numpy", "onnx", "onnx-ir", "onnxruntime")
    # Another toolkit's graph may crash what runs it.
    isolated: ClassVar[bool] = True
    Params: ClassVar[type[stage.Params]] = ImportOnnxParams

    def run(
        self, params: ImportOnnxParams, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        """Reads ``inputs["model"]``.

        Raises:
            InputError: all that is wrong with the model or its description.
        """
        from asrpack.frontends.onnx_models import read
        from asrpack.graph.files import save_proto
        from asrpack.graph.import_graphs import build
        from asrpack.recipe.model_source import OnnxModel

        model = OnnxModel.model_construct(
            source="onnx",
            path=inputs["model"],
            tokens=inputs.get("tokens"),
            **dict(params.details),
        )
        found = read(model)
        folder = out / "onnx"
        folder.mkdir()
        specs = graph_specs(found.description)
        for done, (name, graph) in enumerate(build(found.encoder, found.files, specs).items()):
            context.progress(done, len(specs), name)
            save_proto(graph, folder / f"{name}.onnx")
        (out / "model.json").write_text(found.description.to_json(), encoding="utf-8")
        context.progress(len(specs), len(specs), f"{found.parameters / 1e6:.1f} M parameters")
