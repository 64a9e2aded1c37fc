"""Reads graphs with sherpa-onnx's metadata: CTC models of WeNet, and SenseVoice.

The metadata, its keys and what each model takes are those of sherpa-onnx's export scripts and
``csrc/offline-*-model.cc``; the front ends are the training toolkits' own (WeNet's
``processor.py``, FunASR's ``WavFrontend``), where sherpa-onnx departs from them.
"""

from __future__ import annotations

from asrpack.bundle.model import Cmvn, FbankSpec
from asrpack.errors import InputError
from asrpack.frontends.onnx_file import OnnxFile
from asrpack.frontends.onnx_finish import finish
from asrpack.frontends.onnx_imported import Imported
from asrpack.networks.foreign import ForeignEncoder
from asrpack.recipe.model_source import OnnxModel

FAMILY = "sherpa_onnx"
FLOAT_EPSILON = 1.1920928955078125e-07
# Language, emotion, event and text normalisation come before the speech.
_PROMPTS = 4
_UNSUPPORTED = {
    "paraformer": "Paraformer, which predicts units without CTC",
    "zipformer2_ctc": "a Zipformer CTC model of icefall: its features are of centred windows, "
    "which asrpack's front end does not compute",
    "EncDecCTCModel": "a NeMo model: its features are normalised by utterance",
    "EncDecCTCModelBPE": "a NeMo model: its features are normalised by utterance",
    "EncDecHybridRNNTCTCBPEModel": "a NeMo model: its features are normalised by utterance",
    "telespeech_ctc": "a TeleSpeech model: its features are not Kaldi filterbanks",
    "tdnn": "a TDNN of icefall's yesno example",
    "whisper": "Whisper, an encoder-decoder without CTC",
    "moonshine": "Moonshine, an encoder-decoder without CTC",
    "zipformer": "a transducer (encoder, decoder and joiner), which has no CTC head",
    "zipformer2": "a transducer (encoder, decoder and joiner), which has no CTC head",
    "conformer": "a transducer (encoder, decoder and joiner), which has no CTC head",
    "lstm": "a transducer (encoder, decoder and joiner), which has no CTC head",
}
SUPPORTED = "WeNet CTC (wenet_ctc) and SenseVoice (sense_voice_ctc)"


def model_type(graph: OnnxFile) -> str | None:
    """What the metadata says that the graph is, or None."""
    kind = graph.metadata.get("model_type", "")
    if kind.startswith("whisper"):
        return "whisper"
    return kind or None


def read(graph: OnnxFile, model: OnnxModel) -> Imported:
    """Reads a graph that names its type.

    Raises:
        InputError: a type that cannot be built, metadata missing or malformed.
    """
    kind = model_type(graph)
    if kind == "wenet_ctc":
        return _wenet(graph, model)
    if kind == "sense_voice_ctc":
        return _sense_voice(graph, model)
    raise InputError(
        f"the graph's metadata says that it is {_UNSUPPORTED.get(kind or '', repr(kind))}",
        code="unsupported-model",
        place=str(graph.path),
        remedy=f"of models with such metadata this version reads {SUPPORTED}",
    )


def _wenet(graph: OnnxFile, model: OnnxModel) -> Imported:
    _require(graph, ("x", "x_lens"), ("log_probs",))
    bins = graph.inputs["x"].dims[2]
    spec = FbankSpec(num_mel_bins=bins or 80, log_floor=FLOAT_EPSILON)
    encoder = ForeignEncoder(
        "x", "BTD", "x_lens", "log_probs", out_lengths=_optional(graph, "log_probs_lens")
    )
    return finish(FAMILY, graph, spec, None, encoder, model, _reason(graph, "WeNet's CTC model"))


def _sense_voice(graph: OnnxFile, model: OnnxModel) -> Imported:
    _require(graph, ("x", "x_length", "language", "text_norm"), ("logits",))
    stack, shift = _number(graph, "lfr_window_size"), _number(graph, "lfr_window_shift")
    mean, istd = _numbers(graph, "neg_mean"), _numbers(graph, "inv_stddev")
    if len(mean) != len(istd) or not mean or len(mean) % stack:
        raise _malformed(graph, "neg_mean", f"{len(mean)} and {len(istd)} numbers")
    normalized = graph.metadata.get("normalize_samples", "0") == "1"
    spec = FbankSpec(
        num_mel_bins=len(mean) // stack,
        log_floor=FLOAT_EPSILON,
        window="hamming",
        full_scale=1.0 if normalized else 32768.0,
        stack=stack,
        stack_shift=shift,
    )
    given = model.inputs.constants
    constants = {
        "language": [int(given.get("language", _number(graph, "lang_auto")))],
        "text_norm": [int(given.get("text_norm", _number(graph, "without_itn")))],
    }
    encoder = ForeignEncoder("x", "BTD", "x_length", "logits", constants=constants, skip=_PROMPTS)
    cmvn = Cmvn(tuple(-value for value in mean), istd)
    reason = _reason(graph, "SenseVoice's CTC model")
    blank = _number(graph, "blank_id") if "blank_id" in graph.metadata else 0
    return finish(FAMILY, graph, spec, cmvn, encoder, model, reason, blank=blank)


def _reason(graph: OnnxFile, what: str) -> str:
    return f"{graph.path.name} is {what}: its metadata has model_type {model_type(graph)}"


def _require(graph: OnnxFile, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
    missing = [name for name in inputs if name not in graph.inputs]
    missing += [name for name in outputs if name not in graph.outputs]
    if missing:
        raise InputError(
            f"the metadata says {model_type(graph)}, whose graphs have {', '.join(missing)}; this "
            f"has {', '.join([*graph.inputs, *graph.outputs])}",
            code="onnx-interface",
            place=str(graph.path),
            remedy="export the model again with sherpa-onnx's script",
        )


def _optional(graph: OnnxFile, name: str) -> str | None:
    return name if name in graph.outputs else None


def _number(graph: OnnxFile, key: str) -> int:
    text = graph.metadata.get(key)
    if text is None or not text.lstrip("-").isdigit():
        raise _malformed(graph, key, repr(text))
    return int(text)


def _numbers(graph: OnnxFile, key: str) -> tuple[float, ...]:
    text = graph.metadata.get(key, "")
    try:
        return tuple(float(item) for item in text.split(",") if item)
    except ValueError:
        raise _malformed(graph, key, repr(text[:40])) from None


def _malformed(graph: OnnxFile, key: str, found: str) -> InputError:
    return InputError(
        f"the metadata {key!r} is missing or malformed: {found}",
        code="onnx-metadata",
        place=str(graph.path),
        remedy="export the model again with sherpa-onnx's script",
    )
