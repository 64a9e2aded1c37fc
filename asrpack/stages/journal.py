"""What a long stage has measured, on disk, so that a killed one goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Journal:
    """Values by label, a JSON line each, appended as they come.

    A line that a kill cut off is passed over.
    """

    def __init__(self, path: Path | None) -> None:
        """Reads what is there. Without a path nothing is kept."""
        self._path = path
        self._values: dict[str, Any] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    label, value = json.loads(line)
                except ValueError:
                    continue
                self._values[label] = value

    def __contains__(self, label: str) -> bool:
        return label in self._values

    def __getitem__(self, label: str) -> Any:
        return self._values[label]

    def record(self, label: str, value: Any) -> None:
        """Keeps a value (anything JSON holds)."""
        self._values[label] = value
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write("\n" * bool(stream.tell()) + json.dumps([label, value]))
