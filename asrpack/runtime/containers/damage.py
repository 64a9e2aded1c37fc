"""The fault that all containers can have."""

from __future__ import annotations


class DamageError(Exception):
    """A file that ends before its audio does; the message says how that shows."""
