"""A graph that shows what is inside: some of its tensors besides its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from onnx import ModelProto, ValueInfoProto

from asrpack.errors import ToolchainError


class OpenGraph:
    """Runs on ONNX Runtime, with as many threads as it takes by itself.

    Args:
        model: is not changed.
        tensors: names of what it is to show.
        place: what messages call it.
    """

    def __init__(self, model: ModelProto, tensors: Sequence[str], place: str) -> None:
        import onnxruntime

        self._tensors = tuple(tensors)
        self._outputs = [output.name for output in model.graph.output]
        known = {*self._outputs, *(item.name for item in model.graph.input)}
        inside = [name for name in tensors if name not in known]
        self._names = [*self._outputs, *inside]
        self._place = place
        shown = ModelProto()
        shown.CopyFrom(model)
        # Without a type: ONNX Runtime infers it.
        shown.graph.output.extend(ValueInfoProto(name=name) for name in inside)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            shown.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def run(
        self, feed: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The outputs, and the tensors asked for, by name.

        Raises:
            ToolchainError: ONNX Runtime cannot run it.
        """
        try:
            values = self._session.run(self._names, dict(feed))
        except Exception as error:  # its exceptions share no public base class
            raise ToolchainError(
                f"ONNX Runtime cannot run the graph: {error}",
                code="onnxruntime-failed",
                place=self._place,
                remedy="check that ONNX Runtime is a supported version with `asrpack doctor`",
            ) from error
        found = dict(zip(self._names, map(np.asarray, values), strict=True))
        outputs = {name: found[name] for name in self._outputs}
        return outputs, {name: {**feed, **found}[name] for name in self._tensors}
