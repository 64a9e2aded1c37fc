"""What a check says."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Severity = Literal["ok", "info", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One observation.

    Attributes:
        severity: ``error``: something does not work; ``warning``: it may not, or works badly;
            ``info``: good to know; ``ok``: looked at and sound.
        remedy: what to do; empty where there is nothing to do.
    """

    code: str
    severity: Severity
    message: str
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        """As ``--json`` prints it."""
        return asdict(self)
