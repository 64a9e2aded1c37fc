"""The service's log: a JSON object a line, on standard error; no audio, no text unless asked."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

LOGGER = logging.getLogger("asrpack.service")


class JsonFormatter(logging.Formatter):
    """``time``, ``level``, ``event`` and the fields that were given with it."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True, default=str)


def log(
    event: str, level: int = logging.INFO, error: BaseException | None = None, **fields: object
) -> None:
    """Writes one line; with an error, where it came from, too."""
    LOGGER.log(level, event, exc_info=error, extra={"fields": fields})


def set_up() -> None:
    """All loggers of the process, the HTTP server's among them, write so."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    LOGGER.setLevel(logging.INFO)
