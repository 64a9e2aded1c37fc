"""``golden``: which utterances are taken, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asrpack.errors import InputError
from asrpack.runtime.golden import Golden
from asrpack.stages.golden import RecordGolden
from asrpack.stages.stage import Context

HOST = {"machine": "x86_64", "cpu": "A CPU", "int8_features": ["avx2"]}


def record(folder: Path, texts: dict[str, dict[str, str]], count: int) -> Golden:
    """Utterance N of ``texts`` lasts N tenths of a second."""
    lines, entries = [], []
    for name, text in texts.items():
        soundfile.write(folder / f"{name}.wav", np.zeros(int(name) * 1600, np.int16), 16000)
        lines.append(json.dumps({"utt": name, "audio": f"{name}.wav", "text": "x"}))
        entries.append({"utt": name, "reference": "x", "baseline": text, "candidate": text})
    (folder / "test.jsonl").write_text("\n".join(lines))
    evaluation: dict[str, Any] = {"utterances": entries, "timing": {"host": HOST}}
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    out = folder / "out"
    out.mkdir()
    stage = RecordGolden()
    inputs = {"manifest": folder / "test.jsonl", "evaluation": folder / "evaluation.json"}
    stage.run(stage.Params.model_validate({"count": count}), inputs, out, Context())
    return Golden.from_json((out / "golden.json").read_bytes())


def said(number: int, text: str = "text") -> dict[str, dict[str, str]]:
    return {str(number): {"attention": f"{text} {number}", "ctc_greedy_search": text}}


def test_short_ones_of_several_lengths_as_their_files_are(tmp_path: Path) -> None:
    texts: dict[str, dict[str, str]] = {}
    for number in (9, 1, 5, 2, 7, 3, 8, 4, 6):
        texts |= said(number)
    golden = record(tmp_path, texts, 3)
    assert [item.texts["attention"] for item in golden.utterances] == ["text 1", "text 3", "text 5"]
    assert golden.utterances[1].audio == (tmp_path / "3.wav").read_bytes()
    assert golden.host == "A CPU, x86_64, avx2"


def test_fewer_than_wanted_are_all_taken(tmp_path: Path) -> None:
    golden = record(tmp_path, {**said(1), **said(2), **said(3, "")}, 5)
    assert [item.texts["attention"] for item in golden.utterances] == ["text 1", "text 2"]


def test_a_model_that_recognises_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no utterance") as caught:
        record(tmp_path, said(1, ""), 1)
    assert caught.value.place == "data.test" and "golden" in str(caught.value.remedy)
