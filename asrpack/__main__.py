"""``python -m asrpack``."""

from __future__ import annotations

import sys

from asrpack.cli import main

sys.exit(main())
