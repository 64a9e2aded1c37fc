"""``python -m tests.vectors [FILE]``: writes test vectors of the envelope."""

import json
import sys
from pathlib import Path

from tests.vectors.make import make

target = Path(sys.argv[1] if len(sys.argv) > 1 else "envelope.json")
target.write_text(json.dumps(make(), indent=1, ensure_ascii=False, sort_keys=True) + "\n")
