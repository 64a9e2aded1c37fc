"""Whose ONNX export is it? Finds the frontend that reads it."""

from __future__ import annotations

from pathlib import Path

from asrpack.errors import InputError
from asrpack.frontends import onnx_ctc, onnx_sherpa, onnx_wenet
from asrpack.frontends.onnx_file import open_onnx
from asrpack.frontends.onnx_imported import Imported
from asrpack.frontends.other_kinds import folder_kind
from asrpack.recipe.model_source import OnnxModel

# In a folder, in this order; fp32 before what others have quantized.
_NAMES = ("encoder.onnx", "model.onnx")


def read(model: OnnxModel) -> Imported:
    """Reads a graph, or an export that is known by its files or metadata.

    Raises:
        InputError: all that is wrong with it or with its description.
    """
    graph = open_onnx(find_graph(model.path))
    if model.front_end is None:
        if onnx_wenet.is_wenet(graph):
            _check_unused(model, "WeNet's export", constants=())
            return onnx_wenet.read(graph, model)
        if (kind := onnx_sherpa.model_type(graph)) is not None:
            _check_unused(model, f"the metadata {kind}", constants=("language", "text_norm"))
            return onnx_sherpa.read(graph, model)
    return onnx_ctc.read(graph, model)


def _check_unused(model: OnnxModel, known: str, constants: tuple[str, ...]) -> None:
    """Nothing that a recipe says may be without effect."""
    inputs, outputs = model.inputs, model.outputs
    named = {
        "inputs.features": inputs.features,
        "inputs.lengths": inputs.lengths,
        "outputs.scores": outputs.scores,
        "outputs.lengths": outputs.lengths,
    }
    unused = [key for key, value in named.items() if value is not None]
    unused += [f"inputs.constants.{key}" for key in inputs.constants if key not in constants]
    if unused:
        raise InputError(
            f"without effect, since {known} tells: {', '.join(unused)}",
            code="onnx-interface",
            place=str(model.path),
            remedy="take it out; or give model.front_end too, and the graph is what you describe",
        )


def find_graph(path: Path) -> Path:
    """The ``.onnx`` file that a path stands for: the encoder's, of an export in a folder.

    Raises:
        InputError: a folder without one, or with several and none of the usual names.
    """
    if not path.is_dir():
        return path
    for name in _NAMES:
        if (path / name).is_file():
            return path / name
    graphs = sorted(path.glob("*.onnx"))
    kind = folder_kind(path)
    if len(graphs) == 1 and (kind is None or "transducer" not in kind):
        return graphs[0]
    names = ", ".join(item.name for item in graphs)
    raise InputError(
        (f"there are several graphs: {names}" if graphs else "there is no .onnx file")
        + (f"; this looks like {kind}" if kind else ""),
        code="onnx-missing",
        place=str(path),
        remedy="set model.path to the .onnx file of a CTC model",
    )
