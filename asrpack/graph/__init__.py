"""Passes over an ONNX graph (onnx_ir), one file a pass; ``passes.py`` is their order."""
