"""A service of a bundle, in the smallest form: a line in, a transcript or an error's code out.

``python licensed_service.py BUNDLE PRIVATE_KEY LICENCE RECORDING``
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from asrpack.bundle.secrets import SecretSource
from asrpack.errors import AsrpackError
from asrpack.runtime.audio import read_audio
from asrpack.runtime.load import open_bundle

bundle, identity, licence, recording = sys.argv[1:]
recognizer = open_bundle(
    Path(bundle), SecretSource("file", identity), licence=Path(licence)
).recognizer
samples = read_audio(Path(recording), recognizer.description.sample_rate)
for _ in sys.stdin:
    try:
        said = {"text": recognizer.transcribe(samples).text}
    except AsrpackError as error:
        said = {"code": error.code, "exit_code": error.exit_code}
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
