"""The page's files, as a bundle's own runtime serves them. tests/e2e/test_page.py uses the page."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from asrpack.runtime.service import page
from asrpack.runtime.service.page import PAGE_PATHS
from tests.runtime.service.running import Running

FOLDER = Path(page.__file__).parent


def test_all_files_are_there() -> None:
    names = {path.name for path in FOLDER.iterdir() if path.is_file()} - {"__init__.py"}
    assert {"/", *(f"/page/{name}" for name in names - {"index.html"})} == PAGE_PATHS


@pytest.mark.parametrize("path", sorted(PAGE_PATHS))
def test_a_file_comes_with_what_a_browser_may_do(whole_server: Running, path: str) -> None:
    found = httpx.get(whole_server.url + path)
    assert found.content == (FOLDER / (Path(path).name or "index.html")).read_bytes()
    policy = found.headers["content-security-policy"].split("; ")
    assert policy[0] == "default-src 'none'" and "frame-ancestors 'none'" in policy
    assert not re.search(r"unsafe|:|\*", " ".join(policy))
    assert found.headers["x-content-type-options"] == "nosniff"
    assert found.headers["referrer-policy"] == "no-referrer"
    head = httpx.head(whole_server.url + path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(found.content))


@pytest.mark.parametrize("form", ["{}", "W/{}", '"old", {}'])
def test_what_a_browser_has_is_not_sent_again(whole_server: Running, form: str) -> None:
    first = httpx.get(whole_server.url)
    known = {"if-none-match": form.format(first.headers["etag"])}
    again = httpx.get(whole_server.url, headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["content-security-policy"] == first.headers["content-security-policy"]
    assert httpx.get(whole_server.url, headers={"if-none-match": '"old"'}).status_code == 200


def test_what_the_page_must_know_of_the_service(
    whole_server: Running, streaming_server: Running
) -> None:
    told = httpx.get(f"{whole_server.url}/health").json()
    assert told == {
        "status": "ok",
        "model": "tiny",
        "version": "1.0",
        "precision": "fp32",
        "provider": "CPUExecutionProvider",
        "decoding": "attention_rescoring",
        "streams": False,
        "api_key": False,
        "max_body": 2_000_000,
        "licensed": False,
        "licence_days_left": None,
    }
    assert httpx.get(f"{streaming_server.url}/health").json()["streams"]
