"""Test vectors of the bundle's format, and what makes them: ``python -m tests.vectors``."""
