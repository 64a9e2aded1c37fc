"""Speech to train on: spoken digits and playing cards, by flite and espeak-ng.

The same texts as the quickstart's, other voices, lengths, levels and noise. Both programs are
packages of Debian: `apt-get install flite espeak-ng`. A seed gives the same speech again, with
the same versions of the programs; each utterance has a random stream of its own.

    python recipes/models/training/synthesize.py /tmp/asr-training --minutes 70    # 1 minute

Writes `audio/*.flac`, 16 kHz, and two manifests of JSON lines with `utt`, `audio`, `text`,
`duration` in seconds and `voice`: `train.jsonl` and, every thirtieth utterance, `validation.jsonl`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Iterator
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from scipy.signal import butter, lfilter, resample_poly
from texts import sentence

RATE = 16000
VALIDATION_EVERY = 30
FLITE_VOICES = ("awb", "rms", "slt", "kal16")
ACCENTS = ("en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbclan", "en-us-nyc")
# espeak-ng's variants that sound like persons, not those for effect.
TIMBRES = (
    *("f1", "f2", "f3", "f4", "f5", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8"),
    *("klatt", "klatt2", "klatt4", "adam", "Alex", "Alicia", "Andrea", "Annie", "belinda"),
    *("benjamin", "caleb", "david", "Denis", "edward", "Gene", "john", "linda", "michael", "paul"),
    *("rob", "robert", "shelby", "steph", "travis", "victor"),
)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=60.0, help="of speech")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    (options.folder / "audio").mkdir(parents=True, exist_ok=True)
    manifests: dict[str, list[dict[str, Any]]] = {"train": [], "validation": []}
    for number, line in enumerate(utterances(options.folder, options.minutes, options.seed)):
        manifests["train" if number % VALIDATION_EVERY else "validation"].append(line)
    for name, lines in manifests.items():
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (options.folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
        minutes = sum(line["duration"] for line in lines) / 60
        print(f"{name}: {len(lines)} utterances, {minutes:.1f} minutes")


def utterances(folder: Path, minutes: float, seed: int) -> Iterator[dict[str, Any]]:
    """Writes utterances until they last `minutes`; gives the manifest's line of each."""
    spoken, number = 0.0, 0
    while spoken < minutes * 60:
        rng = np.random.default_rng([seed, number])
        text = sentence(rng)
        samples, voice = speak(text, rng)
        samples = disturb(samples, rng)
        name = f"audio/{number:05d}.flac"
        sf.write(folder / name, samples, RATE, subtype="PCM_16")
        duration = len(samples) / RATE
        yield {
            "utt": f"{number:05d}",
            "audio": name,
            "text": text,
            "duration": round(duration, 3),
            "voice": voice,
        }
        spoken += duration
        number += 1


def speak(text: str, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """One voice's reading at 16 kHz, float32, and the voice's name."""
    with tempfile.TemporaryDirectory(prefix="synthesize-") as folder:
        path = Path(folder) / "speech.wav"
        if rng.random() < 0.45:
            voice = str(rng.choice(FLITE_VOICES))
            stretch = f"duration_stretch={rng.uniform(0.75, 1.3):.2f}"
            command = ["flite", "-voice", voice, "--setf", stretch, "-t", text, "-o", str(path)]
        else:
            voice = f"{rng.choice(ACCENTS)}+{rng.choice(TIMBRES)}"
            speed, pitch = str(rng.integers(120, 200)), str(rng.integers(30, 70))
            command = ["espeak-ng", "-v", voice, "-s", speed, "-p", pitch, "-w", str(path), text]
        subprocess.run(command, check=True, capture_output=True)
        samples, rate = sf.read(path, dtype="float32")
    # Another pitch and length of the vocal tract: the tape runs slower or faster.
    rate = round(rate * rng.uniform(0.88, 1.14) / 100) * 100
    divisor = gcd(rate, RATE)
    return resample_poly(samples, RATE // divisor, rate // divisor).astype("float32"), voice


def disturb(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Silence around, a room, a channel, a level and noise, as recordings have them."""
    before, after = rng.uniform(0, 0.3, 2) * RATE
    samples = np.pad(samples, (int(before), int(after)))
    if rng.random() < 0.3:
        decay = np.exp(-np.arange(int(0.25 * RATE)) / (rng.uniform(0.02, 0.08) * RATE))
        room = rng.standard_normal(len(decay)) * decay * rng.uniform(0.01, 0.06)
        room[0] = 1.0
        samples = np.convolve(samples, room)[: len(samples)]
    if rng.random() < 0.3:
        low, high = rng.uniform(50, 300), rng.uniform(3200, 7500)
        samples = lfilter(*butter(2, (low, high), "bandpass", fs=RATE), samples)
    samples = samples / (np.abs(samples).max() + 1e-6) * rng.uniform(0.15, 0.85)
    noise = rng.standard_normal(len(samples)) * 10 ** rng.uniform(-4.2, -2.0)
    return np.clip(samples + noise, -1, 1).astype("float32")


if __name__ == "__main__":
    main()
