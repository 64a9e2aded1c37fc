"""Takes the model out of the installed package ``hama`` into ``model/``, with its units.

With ``--references`` it also writes ``data/test.jsonl`` anew: what was said, as the package's own
grapheme-to-phoneme model spells it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
MODEL = "asr_waveform_fp16.onnx"
DIGESTS = {
    MODEL: "a884b5ac55f8bbc00673e8cf6d2dd601aa76e5031dd85cf3de2f25b5987cd59a",
    "g2p_vocab.json": "520d19e4e6ae58658eed53594e0feab8ea8e1b4b04a7746e25e50c16c29b91bf",
}
SPOKEN = {
    "../../quickstart/data/human/001.wav": "ten of clubs",
    "../../quickstart/data/human/002.wav": "four queen of clubs",
    "../../quickstart/data/human/003.wav": "seven of clubs",
    "../../quickstart/data/human/004.wav": "five five",
    "../../quickstart/data/human/005.wav": "eight of spades four of clubs seven of hearts",
    "librivox/0870.wav": "and mister john dashwood had then leisure to consider how much there "
    "might be prudently in his power to do for them",
    "librivox/0880.wav": "he was not an ill disposed young man",
    "librivox/0890.wav": "unless to be rather cold hearted and rather selfish is to be ill "
    "disposed",
    "librivox/0920.wav": "had he married a more a amiable woman he might have been made still "
    "more respectable than he was",
    "librivox/0930.wav": "he might even have been made amiable himself",
}


def assets() -> Path:
    """The package's folder of models. Nothing of the package is imported."""
    found = importlib.util.find_spec("hama")
    if found is None or found.origin is None:
        sys.exit("hama is not installed: pip install hama==1.3.13")
    folder = Path(found.origin).parent / "assets"
    for name, digest in DIGESTS.items():
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
            sys.exit(f"{folder / name} is not the file of hama 1.3.13")
    return folder


def write_model(target: Path) -> None:
    """The graph as it is, and its units: the phonemes, then word boundary and blank."""
    source = assets()
    target.mkdir(exist_ok=True)
    (target / "encoder.onnx").write_bytes((source / MODEL).read_bytes())
    phonemes = json.loads((source / "g2p_vocab.json").read_bytes())["decoder"]
    units = [*phonemes, "<wb>", "<blank>"]
    (target / "tokens.txt").write_text("\n".join(units) + "\n", encoding="utf-8")


def write_references(path: Path) -> None:
    """One line a recording; its text is phonemes with spaces between."""
    from hama import G2PModel

    spell = G2PModel()
    with path.open("w", encoding="utf-8") as stream:
        for audio, text in SPOKEN.items():
            words = (spell(word).alignments for word in text.split())
            phonemes = " ".join(item.phoneme for word in words for item in word)
            line = {"utt": Path(audio).stem, "audio": audio, "text": phonemes, "words": text}
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    write_model(FOLDER / "model")
    if sys.argv[1:] == ["--references"]:
        write_references(FOLDER / "data" / "test.jsonl")
