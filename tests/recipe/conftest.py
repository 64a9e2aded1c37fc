"""A sound recipe in a folder of its own, for tests to break."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrpack.protect.keys import generate, write_key_pair

SOUND = """\
schema: 1
name: digits
version: "1.0"
model: {source: paddlespeech, path: "${QUICKSTART}/conformer_digits_cards"}
data:
  calibration: {manifest: "${QUICKSTART}/data/calibration.jsonl"}
  test: {manifest: "${QUICKSTART}/data/human.jsonl"}
builds:
  cpu: {target: onnxruntime, precision: int8}
gate:
  error_rate: {max: 0.08}
protect:
  watermark: {key: {file: keys/vendor.mark}, customer: acme}
  encrypt: {recipients: [{file: keys/acme.pub}]}
  sign: {key: {file: keys/vendor.pem}}
"""


@pytest.fixture(scope="session")
def key_texts() -> dict[str, bytes]:
    return {
        "vendor.pem": generate("signing"),
        "acme.key": generate("recipient"),
        "vendor.mark": generate("watermark"),
    }


@pytest.fixture
def sound(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    quickstart: Path,
    key_texts: dict[str, bytes],
) -> Path:
    """The current folder, with ``recipe.yaml`` and all the keys that it names."""
    monkeypatch.setenv("QUICKSTART", str(quickstart))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keys").mkdir()
    for name, text in key_texts.items():
        write_key_pair(text, tmp_path / "keys" / name)
    (tmp_path / "recipe.yaml").write_text(SOUND, encoding="utf-8")
    return tmp_path
