"""``import``: a trained model's directory to a description and its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from asrpack.frontends.sources import read
from asrpack.measure.compare import save_arrays
from asrpack.stages import stage
from asrpack.stages.stage import Context, Stage


class ImportParams(stage.Params):
    """``checkpoint`` names the weights where the directory has several.

    Attributes:
        streaming: the model is to be run chunk by chunk, too.
        right_to_left: its right-to-left decoder is to take part in rescoring.
    """

    checkpoint: str | None = None
    streaming: bool = False
    right_to_left: bool = False


class Import(Stage):
    """Reads and checks a PaddleSpeech model directory.

    Inputs: ``model`` (the directory). Outputs: ``model.json``
    (:class:`asrpack.bundle.model.ModelDescription`) and ``params.npz`` (float32 arrays by
    PaddleSpeech's names).
    """

    name: ClassVar[str] = "import"
    revision: ClassVar[int] = 2
    outputs: ClassVar[tuple[str, ...]] = ("model.json", "params.npz")
    tools: ClassVar[tuple[str, ...]] = ("numpy", "ruamel.yaml")
    Params: ClassVar[type[stage.Params]] = ImportParams

    def run(
        self, params: ImportParams, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        """Reads ``inputs["model"]``.

        Raises:
            InputError, ErrorGroup: all that is wrong with the directory.
        """
        description, parameters = read(
            inputs["model"],
            params.checkpoint,
            streaming=params.streaming,
            right_to_left=params.right_to_left,
        )
        (out / "model.json").write_text(description.to_json(), encoding="utf-8")
        save_arrays(out / "params.npz", parameters)
        count = sum(array.size for array in parameters.values())
        context.progress(1, 1, f"{len(parameters)} arrays, {count / 1e6:.1f} M parameters")
