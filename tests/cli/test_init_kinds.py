"""``init`` knows each kind of model from its files alone; what it cannot read it names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from asrpack.bundle.model import FbankSpec, ModelDescription
from asrpack.cli import main
from asrpack.recipe.load import load_recipe
from asrpack.recipe.model_source import OnnxModel, PaddleModel
from tests.frontends.onnx_graphs import TOKENS, ctc, save
from tests.frontends.test_onnx_ctc import waveform_graph
from tests.frontends.test_onnx_sherpa import PIECES, SENSE_VOICE, sense_voice
from tests.frontends.test_onnx_wenet import cpu, gpu, write
from tests.networks.variants import SPEC

Output = pytest.CaptureFixture[str]


def own_export(folder: Path) -> Path:
    """What an artifact's ``paddle/`` has."""
    spec = SPEC
    description = ModelDescription(
        family="paddlespeech_u2",
        front_end=FbankSpec(),
        cmvn=None,
        tokens=tuple(map(str, range(spec.vocab_size))),
        graphs=("encoder", "decoder"),
        subsampling=4,
        right_context=6,
        max_frames=5000,
        network=spec.to_dict(),
    )
    folder.mkdir()
    (folder / "model.json").write_text(description.to_json())
    for name in ("encoder", "decoder"):
        (folder / f"{name}.json").write_text('{"base_code": {}}')
        (folder / f"{name}.pdiparams").write_bytes(b"\0" * 8)
    return folder


def program(folder: Path, name: str, text: str = "") -> Path:
    folder.mkdir()
    (folder / name).write_text(text)
    (folder / f"{name.rpartition('.')[0]}.pdiparams").write_bytes(b"\0" * 8)
    (folder / "units.txt").write_text("\n".join(TOKENS) + "\n")
    return folder


KINDS: dict[str, tuple[Callable[[Path], Path], str, type]] = {
    "a graph of features": (lambda p: save(ctc(bins=80), p / "m"), "is a CTC graph", OnnxModel),
    "a graph of samples": (lambda p: save(waveform_graph(), p / "m"), "a CTC graph", OnnxModel),
    "its folder": (lambda p: save(ctc(), p / "m").parent, "is a CTC graph", OnnxModel),
    "WeNet, GPU": (lambda p: write(p / "m", encoder=gpu()), "export_onnx_gpu", OnnxModel),
    "WeNet, CPU": (lambda p: write(p / "m", **cpu()), "export_onnx_cpu", OnnxModel),
    "SenseVoice": (
        lambda p: save(sense_voice(SENSE_VOICE), p / "m", PIECES),
        "model_type sense_voice_ctc",
        OnnxModel,
    ),
    "asrpack's Paddle": (lambda p: own_export(p / "m"), "asrpack exported", PaddleModel),
    "old Paddle": (lambda p: program(p / "m", "inference.pdmodel"), "in the old", PaddleModel),
    "new Paddle": (
        lambda p: program(p / "m", "inference.json", '{"base_code": {"magic": "pir"}}'),
        "in the new",
        PaddleModel,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make, reason, section = KINDS[kind]
    model = make(tmp_path)
    assert main(["init", str(model)]) == 0, capsys.readouterr().err
    assert reason in capsys.readouterr().out
    assert reason in Path("recipe.yaml").read_text(encoding="utf-8")
    recipe = load_recipe(Path("recipe.yaml")).recipe
    assert isinstance(recipe.model, section) and recipe.model.path == model
    # What is still missing is what the user must supply: two manifests, three keys.
    assert main(["check", "recipe.yaml"]) == 3
    errors = [line for line in capsys.readouterr().err.splitlines() if "recipe.yaml:" in line]
    assert len(errors) == 5 and all("does not exist" in line for line in errors)


OTHERS = {
    "a.nemo": "NeMo",
    "model.safetensors": "safetensors",
    "model.tflite": "TensorFlow Lite",
    "model.engine": "TensorRT",
    "ggml-base.bin": "whisper.cpp",
    "final.pt": "PyTorch",
    "final.mdl": "Kaldi",
    "default.yaml": "text-to-speech",
    "model.tar.gz": "not unpacked",
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("folder", [True, False], ids=["folder", "file"])
def test_other_kinds_are_named(tmp_path: Path, capsys: Output, name: str, folder: bool) -> None:
    (tmp_path / name).write_bytes(b"anything")
    target = tmp_path if folder else tmp_path / name
    assert main(["init", str(target), "-o", str(tmp_path / "recipe.yaml")]) == 3
    said = capsys.readouterr().err
    assert OTHERS[name] in said and "asrpack reads PaddleSpeech" in said
    assert not (tmp_path / "recipe.yaml").exists()


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"model_type": "whisper"}, "Whisper"),
        ({"architectures": ["Wav2Vec2ForCTC"]}, "wav2vec 2.0"),
        ({"architectures": ["HubertForCTC"]}, "HuBERT"),
    ],
)
def test_hugging_face_models_are_named(
    tmp_path: Path, capsys: Output, config: object, what: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert main(["init", str(tmp_path), "-o", "-"]) == 3
    assert what in capsys.readouterr().err


def test_funasr_and_transducers_are_named(tmp_path: Path, capsys: Output) -> None:
    checkpoint = tmp_path / "funasr"
    checkpoint.mkdir()
    (checkpoint / "config.yaml").write_text("encoder: SANMEncoder\n")
    (checkpoint / "model.pt").write_bytes(b"PK")
    assert main(["init", str(checkpoint), "-o", "-"]) == 3
    assert "FunASR" in capsys.readouterr().err
    transducer = tmp_path / "zipformer"
    transducer.mkdir()
    for name in ("encoder-epoch-99", "decoder-epoch-99", "joiner-epoch-99"):
        onnx.save(ctc(), transducer / f"{name}.onnx")
    assert main(["init", str(transducer), "-o", "-"]) == 3
    assert "transducer" in capsys.readouterr().err


def test_a_streaming_export_of_paddlespeech_is_named(tmp_path: Path, capsys: Output) -> None:
    folder = program(tmp_path / "m", "avg_30.jit.forward_encoder_chunk.pdmodel")
    assert main(["init", str(folder), "-o", "-"]) == 3
    said = capsys.readouterr().err
    assert "forward_encoder_chunk" in said and "source: paddlespeech" in said
