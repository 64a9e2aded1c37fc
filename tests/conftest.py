"""Options and fixtures of the whole suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is.
settings.register_profile("asrpack", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("asrpack")

Golden = Callable[[Path, str], None]
Measured = Callable[[str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the expected texts anew; read the diff before you commit it",
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compares a text with a file of the repository, or writes it with ``--update-golden``."""

    def compare(path: Path, text: str) -> None:
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.is_file(), f"{path} is missing: run pytest --update-golden"
        assert text == path.read_text(encoding="utf-8")

    return compare


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Measured:
    """Says a figure at the end of the run; nothing is asserted of it."""
    return lambda text: record_property("measured", text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    figures = [
        text
        for report in terminalreporter.getreports("passed")
        for name, text in report.user_properties
        if name == "measured" and report.when == "call"
    ]
    if figures:
        terminalreporter.section("measured")
        terminalreporter.write_line("\n".join(map(str, figures)))


@pytest.fixture(scope="session")
def quickstart() -> Path:
    """The folder of the quickstart recipe, its model and its data."""
    return Path(__file__).parents[1] / "recipes" / "quickstart"
