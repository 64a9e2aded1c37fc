"""Names what a file or folder is that asrpack cannot read."""

from __future__ import annotations

from pathlib import Path

# (pattern of file names, what it is)
_NAMES = (
    ("*.nemo", "a NeMo model"),
    ("*.safetensors", "a model in safetensors (Hugging Face Transformers and others)"),
    ("*.tflite", "a TensorFlow Lite model"),
    ("*.engine", "a TensorRT engine, which runs on the GPU it was built for only"),
    ("*.plan", "a TensorRT engine, which runs on the GPU it was built for only"),
    ("*.gguf", "a GGUF model (whisper.cpp, llama.cpp)"),
    ("ggml-*.bin", "a whisper.cpp model"),
    ("*.ort", "a model in ONNX Runtime's own format; give the .onnx file it was made of"),
    ("*.pdz", "a PaddleSpeech text-to-speech or audio model"),
    ("default.yaml", "a PaddleSpeech text-to-speech or audio model"),
    ("*.pt", "a PyTorch checkpoint"),
    ("*.pth", "a PyTorch checkpoint"),
    ("*.ckpt", "a PyTorch Lightning checkpoint"),
    ("pytorch_model*.bin", "a Hugging Face Transformers checkpoint of PyTorch"),
    ("*.mdl", "a Kaldi model"),
    ("*.h5", "a Keras model"),
    ("saved_model.pb", "a TensorFlow model"),
    ("*.zip", "an archive that is not unpacked"),
    ("*.tar.gz", "an archive that is not unpacked"),
)


def file_kind(path: Path, head: bytes = b"") -> str | None:
    """What a file is by its name or its first bytes, or None where that is unknown."""
    for pattern, what in _NAMES:
        if path.match(pattern):
            return what
    if head[4:8] == b"TFL3":
        return "a TensorFlow Lite model"
    if head[4:8] == b"ORTM":
        return "a model in ONNX Runtime's own format; give the .onnx file it was made of"
    if head[:4] in (b"ftrt", b"ptrt"):
        return "a TensorRT engine, which runs on the GPU it was built for only"
    if head[:4] == b"GGUF":
        return "a GGUF model (whisper.cpp, llama.cpp)"
    if head[:2] == b"PK":
        return "a zip archive, as PyTorch writes its checkpoints"
    if head[:2] == b"\x80\x02":
        return "a Python pickle, as old PyTorch and Paddle checkpoints are"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer: the model itself was not downloaded (git lfs pull)"
    if head[:1] in b"<{" and head.strip():
        return "text"
    return None


def folder_kind(path: Path) -> str | None:
    """What a folder without a model that asrpack reads looks like, with the file that tells."""
    config = path / "config.json"
    if config.is_file():
        text = config.read_text(encoding="utf-8", errors="replace")[:65536].lower()
        for word, what in (
            ("whisper", "a Whisper model (an encoder-decoder without CTC)"),
            ("wav2vec2", "a wav2vec 2.0 model of Hugging Face Transformers"),
            ("hubert", "a HuBERT model of Hugging Face Transformers"),
            ("wavlm", "a WavLM model of Hugging Face Transformers"),
        ):
            if word in text:
                return f"{what} ({config.name})"
    if (path / "configuration.json").is_file() or (
        (path / "config.yaml").is_file() and any(path.glob("*.pt"))
    ):
        return "a FunASR checkpoint of PyTorch (config.yaml and model.pt); export it to ONNX"
    names = {item.name for item in path.glob("*.onnx")}
    if any(name.startswith("joiner") for name in names):
        return "a transducer of sherpa-onnx (encoder, decoder and joiner), which has no CTC head"
    for item in sorted(path.iterdir()):
        if item.is_file() and (kind := file_kind(item)):
            return f"{kind} ({item.name})"
    return None
