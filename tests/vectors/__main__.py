"""``python -m tests.vectors [FILE [PART_SIZE]]``: writes test vectors of the envelope."""

import json
import sys
from pathlib import Path

from tests.vectors.make import make

target = Path(sys.argv[1] if len(sys.argv) > 1 else "envelope.json")
made = make(*map(int, sys.argv[2:3]))
target.write_text(json.dumps(made, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
