"""The systems that :mod:`benchmarks.rivals` times, each in a process of its own.

    python -m benchmarks.rival_systems SYSTEM FOLDER THREADS AUDIO...

loads one system, reads the recordings, and then answers each line of standard input, a
recording's index, with a line of JSON: ``seconds``, ``cpu_seconds`` of the whole process, and
``text``. An empty line ends it with ``peak_bytes``, its resident set's high-water mark. Imports are
inside the systems: no process holds what another one needs.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

METHOD = "ctc_greedy_search"


@dataclass(frozen=True)
class Layout:
    """Where the files of one set of weights are."""

    folder: Path

    @property
    def paddlespeech(self) -> Path:
        """PaddleSpeech's model directory."""
        return self.folder / "paddlespeech"

    @property
    def description(self) -> Path:
        """asrpack's ``model.json``."""
        return self.folder / "model.json"

    @property
    def fp32(self) -> Path:
        """Folder of asrpack's graphs."""
        return self.folder / "fp32"

    @property
    def int8(self) -> Path:
        """Folder of asrpack's graphs."""
        return self.folder / "int8"

    @property
    def sherpa(self) -> Path:
        """Folder of sherpa-onnx's files."""
        return self.folder / "sherpa"

    @property
    def tokens(self) -> Path:
        """sherpa-onnx's vocabulary."""
        return self.sherpa / "tokens.txt"

    def sherpa_model(self, name: str) -> Path:
        """``exported`` or ``optimized``, with ``.int8`` behind it or not."""
        return self.sherpa / f"{name}.onnx"


@dataclass(frozen=True)
class System:
    """What is timed is ``transcribe`` alone, of what ``prepare`` made of a 16 kHz WAV file."""

    prepare: Callable[[Path], Any]
    transcribe: Callable[[Any], str]


def asrpack(layout: Layout, precision: str, threads: int) -> System:
    """The runtime's recogniser: features, encoder, search. No decoder is loaded: none is used."""
    from asrpack.bundle.model import ModelDescription
    from asrpack.runtime.audio import read_audio
    from asrpack.runtime.recognizer import Recognizer

    description = ModelDescription.read(layout.description)
    description = replace(
        description, graphs=("encoder",), decode=replace(description.decode, method=METHOD)
    )
    folder = layout.fp32 if precision == "fp32" else layout.int8
    graphs = {"encoder.onnx": (folder / "encoder.onnx").read_bytes()}
    recognizer = Recognizer(description, graphs, threads=threads)
    del graphs
    return System(
        lambda path: read_audio(path, description.sample_rate),
        lambda samples: recognizer.transcribe(samples).text,
    )


def sherpa_onnx(layout: Layout, name: str, threads: int) -> System:
    """``OfflineRecognizer.from_wenet_ctc``, with the features that the model was trained on.

    That constructor keeps the features of icefall's models (frames centred, filters up to 7600
    Hz); a model of PaddleSpeech wants whole windows and filters up to Nyquist, which cost the same.
    """
    import sherpa_onnx as sherpa
    import soundfile
    from sherpa_onnx.lib import _sherpa_onnx as bound

    config = bound.OfflineRecognizerConfig(
        feat_config=bound.FeatureExtractorConfig(
            sampling_rate=16000, feature_dim=80, high_freq=0, snip_edges=True
        ),
        model_config=bound.OfflineModelConfig(
            wenet_ctc=bound.OfflineWenetCtcModelConfig(model=str(layout.sherpa_model(name))),
            tokens=str(layout.tokens),
            num_threads=threads,
            model_type="wenet_ctc",
        ),
        decoding_method="greedy_search",
    )
    recognizer = sherpa.OfflineRecognizer.__new__(sherpa.OfflineRecognizer)
    recognizer.recognizer = bound.OfflineRecognizer(config)
    recognizer.config = config

    def transcribe(samples: Any) -> str:
        stream = recognizer.create_stream()
        stream.accept_waveform(16000, samples)
        recognizer.decode_stream(stream)
        return "".join(stream.result.tokens).replace("<space>", " ")

    return System(lambda path: soundfile.read(path, dtype="float32")[0], transcribe)


def paddlespeech(layout: Layout, part: str, threads: int) -> System:
    """``U2Model`` of PaddleSpeech; Paddle takes its threads from the environment.

    Args:
        part: ``decode``: its ``decode`` alone, on features computed before; ``samples``: its
            features too, by one ``Transformation`` that is kept.
    """
    from asrpack.frontends.model_directory import find_checkpoint
    from asrpack.measure.oracle import open_paddlespeech

    model = layout.paddlespeech
    oracle = open_paddlespeech(model, find_checkpoint(model, None))
    if part == "decode":
        return System(
            lambda path: oracle.features(oracle.samples(path)),
            lambda features: oracle.decode(features, METHOD),
        )
    return System(oracle.samples, lambda samples: oracle.decode(oracle.features(samples), METHOD))


def executor(layout: Layout, threads: int) -> System:
    """All that a call of ``ASRExecutor`` does with a WAV file, but for its usage statistics."""
    os.environ["PIP_NO_INDEX"] = "1"  # see asrpack.measure.oracle
    from paddlespeech.cli.asr.infer import ASRExecutor

    from asrpack.frontends.model_directory import find_checkpoint

    model = "conformer_aishell"  # the class is chosen by the name
    checkpoint = find_checkpoint(layout.paddlespeech, None).with_suffix("")
    asr = ASRExecutor()
    started = (model, "zh", False, 16000, str(layout.paddlespeech / "model.yaml"), METHOD, -1)

    def transcribe(path: Path) -> str:
        asr._init_from_path(*started, str(checkpoint))
        if not asr._check(str(path), 16000, True):
            raise ValueError(f"PaddleSpeech refuses {path}")
        asr.preprocess(model, str(path))
        asr.infer(model)
        return str(asr.postprocess())

    return System(lambda path: path, transcribe)


SYSTEMS: dict[str, Callable[[Layout, int], System]] = {
    "asrpack int8": lambda layout, threads: asrpack(layout, "int8", threads),
    "asrpack fp32": lambda layout, threads: asrpack(layout, "fp32", threads),
    "sherpa-onnx int8": lambda layout, threads: sherpa_onnx(layout, "exported.int8", threads),
    "sherpa-onnx int8, asrpack's graph": lambda layout, threads: sherpa_onnx(
        layout, "optimized.int8", threads
    ),
    "sherpa-onnx fp32": lambda layout, threads: sherpa_onnx(layout, "optimized", threads),
    "PaddleSpeech, decode": lambda layout, threads: paddlespeech(layout, "decode", threads),
    "PaddleSpeech": lambda layout, threads: paddlespeech(layout, "samples", threads),
    "PaddleSpeech, ASRExecutor": executor,
}


def main() -> None:
    """One system's process."""
    name, folder, threads, *audio = sys.argv[1:]
    # PaddleSpeech prints; standard output is for answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    system = SYSTEMS[name](Layout(Path(folder)), int(threads))
    prepared = [system.prepare(Path(path)) for path in audio]
    for line in sys.stdin:
        if not line.strip():
            break
        item = prepared[int(line)]
        start, cpu = time.perf_counter(), time.process_time()
        text = system.transcribe(item)
        answer = {
            "cpu_seconds": time.process_time() - cpu,
            "seconds": time.perf_counter() - start,
            "text": text,
        }
        print(json.dumps(answer), file=answers, flush=True)
    print(json.dumps({"peak_bytes": peak_bytes()}), file=answers, flush=True)


def peak_bytes() -> int:
    """Most memory that this process held. ``getrusage`` would count what its parent held."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmHWM")


if __name__ == "__main__":
    main()
