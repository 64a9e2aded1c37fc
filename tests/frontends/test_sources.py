"""What reading a model needs of the installation."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from asrpack.errors import ToolchainError
from asrpack.frontends import sources
from tests.frontends.onnx_graphs import ctc, save
from tests.frontends.test_onnx_ctc import described


def test_without_the_build_toolchain_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = described(save(ctc(), tmp_path))
    assert sources.look(model).family == "onnx_ctc"
    for name in [name for name in sys.modules if name.startswith("asrpack.frontends.onnx_")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(sys.modules["asrpack.frontends"], "onnx_models")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ToolchainError, match="not installed: onnx") as caught:
        sources.look(model)
    assert "asrpack[build]" in (caught.value.remedy or "")
