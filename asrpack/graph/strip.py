"""Removes what tells of the toolchain rather than of the model."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult
from onnx_ir.passes.common import ClearMetadataAndDocStringPass

PRODUCER = "asrpack"


class Strip(InPlacePass):
    """Clears doc strings and metadata, down to each value; names graph and producer."""

    def __init__(self, graph_name: str) -> None:
        super().__init__()
        self.graph_name = graph_name

    def call(self, model: ir.Model) -> PassResult:
        """Always modifies."""
        ClearMetadataAndDocStringPass()(model)
        graph = model.graph
        made = [value for node in graph for value in node.outputs]
        for value in (*graph.inputs, *graph.initializers.values(), *made):
            value.metadata_props.clear()
            value.doc_string = None
        graph.metadata_props.clear()
        graph.doc_string = None
        graph.name = self.graph_name
        model.metadata_props.clear()
        model.doc_string = None
        model.domain = None
        model.model_version = None
        model.producer_name = PRODUCER
        model.producer_version = None
        return PassResult(model, modified=True)
