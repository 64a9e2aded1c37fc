"""The page at `/` of a served quickstart bundle, used in Chromium as people use it."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from difflib import SequenceMatcher
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Page, expect

from asrpack.runtime.audio import read_audio
from tests.e2e.browser import accessible, chromium, microphone, opened
from tests.e2e.conftest import Workshop
from tests.e2e.test_service import HUMAN, RATE, long_recording, server, streams, texts
from tests.runtime.service.protocol_clients import vosk
from tests.runtime.service.running import Running, running

__all__ = ["server", "streams", "texts"]
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e")]
SAID = HUMAN[1]
KEY = "a key: ä ??? and more"
PATH = "/v1/audio/transcriptions"


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the microphone hears: two recordings, each with a pause before and after."""
    path = tmp_path_factory.mktemp("microphone") / "heard.wav"
    said = [read_audio(item, RATE) / 32768 for item in (SAID, HUMAN[2])]
    pauses = [np.pad(samples, (RATE // 2, 3 * RATE // 2)) for samples in said]
    soundfile.write(path, np.concatenate(pauses), RATE)
    return path


@pytest.fixture(scope="module")
def browser(heard: Path) -> Iterator[Browser]:
    with chromium(*microphone(heard), "--host-resolver-rules=MAP page.test 127.0.0.1") as found:
        yield found


@pytest.fixture(scope="module")
def guarded(
    workshop: Workshop, bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """Needs a key, and has a licence that ends in days and allows one recognition at a time."""
    folder, keys = tmp_path_factory.mktemp("guarded"), workshop.keys
    (folder / "keys").write_text(f"{KEY}\n")
    workshop.asrpack(
        *("license", "issue", str(bundle), "--customer", "acme", "--days", "5", "--streams", "1"),
        *("--recipient", str(keys / "other.pub"), "--escrow", str(keys / "acme.key")),
        *("--sign", str(keys / "vendor.pem"), "-o", str(folder / "licence.json")),
    )
    command = [
        *(sys.executable, "-m", "asrpack.runtime", "serve", bundle, "--api-keys", folder / "keys"),
        *("--identity", keys / "other.key", "--trust", keys / "vendor.pub"),
        *("--license", folder / "licence.json"),
    ]
    environment = {"PYTHONPATH": str(bundle / "runtime"), "PYTHONDONTWRITEBYTECODE": "1"}
    with running(command, folder / "log", environment | {"ASRPACK_STATE": str(folder)}) as found:
        yield found
        assert found.stop() == 0
    assert KEY not in (folder / "log").read_text()


def recognised(page: Page) -> list[str]:
    """The text, once all of it is there."""
    expect(page.locator("#keep")).to_be_visible(timeout=60_000)
    return page.locator("#segments p[dir=auto]").all_inner_texts()


def heard_for(page: Page, seconds: int) -> None:
    """Waits until the microphone has been on for so long."""
    later = "|".join(f"{second:02}" for second in range(seconds, 60))
    expect(page.locator("#doing")).to_contain_text(re.compile(f"0:({later})"))


def alike(found: list[str], said: str) -> bool:
    """Of a model that learned from speech without pauses: where one stops changes its text."""
    return SequenceMatcher(None, " ".join(found), said).ratio() > 0.7


def saved(page: Page, button: str, kind: str) -> str:
    with page.expect_download() as download:
        page.get_by_role("button", name=button, exact=True).click()
    assert download.value.suggested_filename == f"{SAID.stem}.{kind}"
    return Path(download.value.path()).read_text()


def test_a_file_with_its_times_in_every_format(
    browser: Browser, server: Running, texts: dict[Path, str]
) -> None:
    with opened(browser, server) as page:
        for told in ("digits-cards 1.0.0", "int8", "none needed"):
            expect(page.locator("#about")).to_contain_text(told)
        before = server.gauge("asrpack_batch_size_count")
        page.locator("#file").set_input_files(SAID)
        assert recognised(page) == [texts[SAID]]
        expect(page.locator("#told")).to_contain_text(texts[SAID])
        while (recognitions := server.gauge("asrpack_batch_size_count")) == before:
            time.sleep(0.01)  # an answer goes out before it is counted
        page.locator("summary").click()
        page.locator("tbody tr").first.wait_for()
        rows = [row.split() for row in page.locator("tbody tr").all_inner_texts()]
        (segment,) = json.loads(saved(page, "JSON", "json"))["segments"]
        words = segment["words"]
        assert " ".join(word["word"] for word in words) == segment["text"] == texts[SAID]
        assert [row[:3] for row in rows] == [
            [word["word"], f"0:{word['start']:05.2f}", f"0:{word['end']:05.2f}"] for word in words
        ]
        assert [row[3] for row in rows] == [str(int(100 * word["confidence"])) for word in words]
        assert saved(page, "Text", "txt") == f"{texts[SAID]}\n"
        subtitles = {
            kind: saved(page, name, kind) for name, kind in (("SRT", "srt"), ("WebVTT", "vtt"))
        }
    assert server.gauge("asrpack_batch_size_count") == recognitions  # nothing was recognised again
    for kind, text in subtitles.items():
        files = {"file": SAID.read_bytes()}
        answer = httpx.post(server.url + PATH, data={"response_format": kind}, files=files)
        assert text == answer.text


_OBSERVE = """(id) => {
  window[id] = [];
  const node = document.getElementById(id);
  new MutationObserver(() => window[id].push(node.innerText)).observe(node, { childList: true });
}"""


def test_the_microphone_tells_text_while_one_speaks(
    browser: Browser, streams: tuple[Running, dict[Path, str]]
) -> None:
    server, wanted = streams
    sent: list[bytes | str] = []
    with opened(browser, server) as page:
        page.on(
            "websocket",
            lambda socket: socket.on("framesent", lambda payload: sent.append(payload)),
        )
        for shown in ("partial", "told"):
            page.evaluate(_OBSERVE, shown)
        expect(page.locator("#record-note")).to_be_empty()
        page.get_by_role("button", name="Use the microphone").click()
        items = page.locator("#segments li")
        expect(items).to_have_count(1)
        accessible(page)
        heard_for(page, 7)
        page.get_by_role("button", name="Stop").click()
        found = recognised(page)
        items.first.locator("summary").click()
        expect(items.first.locator("tbody th")).to_have_text(found[0].split())
        partial, told = page.evaluate("[partial, told]")
    # The browser resamples from wherever its clock stands, and on a busy machine loses some: what
    # it sent is not the recording to the sample, nor is its text to the letter.
    config = json.loads(sent[0])["config"]
    samples = np.frombuffer(b"".join(data for data in sent if isinstance(data, bytes)), np.int16)
    assert len(samples) > 7 * config["sample_rate"]
    url = f"ws://127.0.0.1:{server.port}/vosk"
    with ThreadPoolExecutor() as threads:  # playwright has a loop of its own in this one
        answers = threads.submit(
            asyncio.run, vosk(url, samples, config["sample_rate"], words=True)
        ).result()
    assert found == [item["text"] for item in answers if item.get("text")]
    for text, path in zip(found, (SAID, HUMAN[2]), strict=True):
        assert alike([text], wanted[path])
        assert text in told
    assert any(text and found[0].startswith(text[:4]) for text in partial)
    assert server.gauge("asrpack_jobs ") == 0


def test_the_keyboard_is_enough(browser: Browser, server: Running, texts: dict[Path, str]) -> None:
    with opened(browser, server) as page:
        with page.expect_file_chooser() as chooser:
            page.keyboard.press("Tab")
            expect(page.locator("#file")).to_be_focused()
            page.keyboard.press("Enter")
        chooser.value.set_files(SAID)
        assert recognised(page) == [texts[SAID]]
        expect(page.locator("#result-title")).to_be_focused()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("tbody tr")).to_have_count(len(texts[SAID].split()))
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name="Copy")).to_be_focused()
        # A model of whole recordings says so, and is spoken to all the same.
        note = page.locator("#record-note")
        expect(note).to_contain_text("the text comes once you stop")
        page.locator("#file").focus()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        heard_for(page, 3)
        expect(page.get_by_role("button", name="Stop")).to_be_focused()
        page.keyboard.press("Enter")
        assert alike(recognised(page), texts[SAID])


@pytest.mark.parametrize("width", [320, 1000])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_wide_and_narrow(
    browser: Browser, server: Running, scheme: str, width: int, tmp_path: Path
) -> None:
    long_recording(tmp_path / "a-name-that-is-longer-than-a-phone-is-wide-by-far.wav", 1)
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 640}}
    with opened(browser, server, **options) as page:
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (min(map(int, ground[4:-1].split(","))) > 128) == (scheme == "light")
        accessible(page)
        page.locator("#file").set_input_files(next(tmp_path.iterdir()))
        assert len(recognised(page)) > 5
        page.locator("summary").first.click()
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_a_damaged_file_is_told_as_the_service_tells_it(
    browser: Browser, server: Running, texts: dict[Path, str], tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.wav"
    damaged.write_bytes(SAID.read_bytes()[:9000])
    with opened(browser, server) as page:
        page.locator("#file").set_input_files(damaged)
        told = httpx.post(server.url + PATH, files={"file": damaged.read_bytes()}).json()
        expect(page.locator("#problem-text")).to_have_text(told["error"]["message"])
        expect(page.get_by_role("button", name="Try again")).to_be_hidden()
        expect(page.locator("#file")).to_be_focused()
        accessible(page)
        page.locator("#file").set_input_files(SAID)
        assert recognised(page) == [texts[SAID]]
        expect(page.locator("#problem")).to_be_hidden()


_DROP = """(names) => {
  const dropped = new DataTransfer();
  for (const name of names) dropped.items.add(new File([new Uint8Array(9)], name));
  document.querySelector("#drop").dispatchEvent(
    new DragEvent("drop", { dataTransfer: dropped, bubbles: true, cancelable: true }));
}"""


def test_a_file_may_be_dropped(browser: Browser, server: Running) -> None:
    with opened(browser, server) as page:
        page.evaluate(_DROP, ["one.wav", "two.wav"])
        expect(page.locator("#problem-text")).to_have_text("Give one recording at a time.")
        page.evaluate(_DROP, ["one.wav"])
        expect(page.locator("#problem-text")).to_contain_text("not audio that can be decoded")


def test_what_is_cancelled_the_service_drops(
    browser: Browser, server: Running, tmp_path: Path
) -> None:
    long_recording(tmp_path / "long.wav", 30)
    with opened(browser, server) as page:
        page.locator("#file").set_input_files(tmp_path / "long.wav")
        page.locator("#segments li").first.wait_for(timeout=60_000)
        expect(page.get_by_role("button", name="Cancel")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#told")).to_have_text("Cancelled.")
        expect(page.locator("#result")).to_be_hidden()
    assert server.logged(path=PATH, code="client-gone")
    assert server.gauge("asrpack_jobs ") == 0


def test_a_key_is_asked_for_and_kept_in_memory_only(
    browser: Browser, guarded: Running, texts: dict[Path, str]
) -> None:
    with opened(browser, guarded) as page:
        expect(page.locator("#about")).to_contain_text("days left: ask the vendor to renew it")
        expect(page.locator("#source")).to_be_hidden()
        field = page.get_by_label("API key")
        field.fill("0123456789abcdef")
        page.keyboard.press("Enter")
        expect(page.locator("#problem-text")).to_contain_text("not one of the service's")
        accessible(page)
        field.fill(KEY)
        page.keyboard.press("Enter")
        page.locator("#file").set_input_files(SAID)
        assert recognised(page) == [texts[SAID]]
        saved(page, "SRT", "srt")
        page.get_by_role("button", name="Use the microphone").click()
        heard_for(page, 3)
        page.get_by_role("button", name="Stop").click()
        assert alike(recognised(page), texts[SAID])
        assert page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]
        assert page.context.cookies() == []
        page.reload()
        expect(field).to_have_value("")
        expect(page.locator("#source")).to_be_hidden()


def test_a_busy_service_says_when_to_try_again(
    browser: Browser, guarded: Running, texts: dict[Path, str], tmp_path: Path
) -> None:
    long_recording(tmp_path / "long.wav", 30)
    with opened(browser, guarded) as page, (tmp_path / "long.wav").open("rb") as file:
        page.get_by_label("API key").fill(KEY)
        page.keyboard.press("Enter")
        with httpx.stream(
            "POST",
            guarded.url + PATH,
            headers={"authorization": f"Bearer {KEY}".encode()},
            data={"stream": "true"},
            files={"file": file},
            timeout=60,
        ) as other:
            lines = other.iter_lines()
            next(lines)
            page.locator("#file").set_input_files(SAID)
            expect(page.locator("#problem-text")).to_contain_text("try again in 1 s")
            accessible(page)
        assert guarded.logged(path=PATH, code="client-gone")
        again = page.get_by_role("button", name="Try again")
        expect(again).to_be_focused()
        page.keyboard.press("Enter")
        assert recognised(page) == [texts[SAID]]


def test_without_https_the_page_says_how_to_have_a_microphone(
    browser: Browser, server: Running, texts: dict[Path, str]
) -> None:
    with opened(browser, server, at="page.test") as page:
        expect(page.locator("#record-note")).to_contain_text("--tls-certificate and --tls-key")
        expect(page.get_by_role("button", name="Use the microphone")).to_be_hidden()
        page.locator("#file").set_input_files(SAID)
        assert recognised(page) == [texts[SAID]]
        expect(page.get_by_role("button", name="Copy")).to_be_hidden()
