"""Chromium without a window, and what must never be seen in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.runtime.service.running import Running

expect.set_options(timeout=30_000)  # a browser beside other work is slow

# Beside these, what a browser says by itself of any answer that is an error.
_CONSOLE = ("Failed to load resource", "Password forms should have")


@contextmanager
def chromium(*arguments: str) -> Iterator[Browser]:
    """Debian's; the package from PyPI brings none."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(arguments))
        yield browser
        browser.close()


def microphone(recording: Path) -> list[str]:
    """Options by which a recording is what the microphone hears, once."""
    return [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={recording}%noloop",
    ]


@contextmanager
def opened(
    browser: Browser, server: Running, at: str = "127.0.0.1", **options: Any
) -> Iterator[Page]:
    """The page, ready to use; ``at``: the name that it is asked for by.

    In the end it must have asked nobody but the service, and neither its policy, nor the console,
    nor what makes it hard to use for some may have had anything to say.
    """
    page = browser.new_page(**options)
    seen: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: seen.append(message.text))
    page.on("pageerror", lambda error: seen.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url.replace("ws", "http", 1)))
    url = f"http://{at}:{server.port}/"
    page.goto(url)
    page.locator("#health[data-state=ready]").wait_for()
    yield page
    accessible(page)
    page.close()
    assert [text for text in seen if not any(known in text for known in _CONSOLE)] == []
    ours = (url, f"blob:{url}")
    assert asked and [url for url in asked if not url.startswith(ours)] == []


def accessible(page: Page) -> None:
    """As far as axe-core can tell, of what is shown now."""
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
