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
from playwright.sync_api import Browser, Dialog, Page, Route, expect

from asrpack.runtime.audio import read_audio
from tests.e2e.browser import accessible, chromium, microphone, opened
from tests.e2e.conftest import Workshop
from tests.e2e.test_service import HUMAN, RATE, long_recording, server, serving, streams, texts
from tests.runtime.service.protocol_clients import vosk
from tests.runtime.service.running import Running, own_runtime, running

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
    environment = own_runtime(bundle) | {"ASRPACK_STATE": str(folder)}
    with running(command, folder / "log", environment) as found:
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


def saved(page: Page, button: str, kind: str, stem: str = SAID.stem) -> str:
    with page.expect_download() as download:
        page.get_by_role("button", name=button, exact=True).click()
    assert download.value.suggested_filename == f"{stem}.{kind}"
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
        shares = [str(round(10_000 * word["confidence"]) // 100) for word in words]
        assert [row[3] for row in rows] == shares
        assert saved(page, "Text", "txt") == f"{texts[SAID]}\n"
        subtitles = {
            kind: saved(page, name, kind) for name, kind in (("SRT", "srt"), ("WebVTT", "vtt"))
        }
    assert server.gauge("asrpack_batch_size_count") == recognitions  # nothing was recognised again
    for kind, text in subtitles.items():
        files = {"file": SAID.read_bytes()}
        answer = httpx.post(server.url + PATH, data={"response_format": kind}, files=files)
        assert text == answer.text


@pytest.mark.parametrize(("confidence", "shown"), [("0.29", "29 %"), ("0.9999", "99 %")])
def test_a_confidence_is_told_in_whole_percent(
    browser: Browser, server: Running, confidence: str, shown: str
) -> None:
    asked = {"response_format": "verbose_json", "stream": "true"}
    asked["timestamp_granularities[]"] = "word"
    answer = httpx.post(server.url + PATH, data=asked, files={"file": SAID.read_bytes()}).text
    other = re.sub(r'("confidence": ?)[0-9.]+', rf"\g<1>{confidence}", answer)
    with opened(browser, server) as page:
        page.route(f"**{PATH}", lambda route: route.fulfill(body=other))
        page.locator("#file").set_input_files(SAID)
        expect(page.locator("summary")).to_contain_text(f"confidence {shown}")


def test_a_file_without_a_name_is_saved_as_a_recording(
    browser: Browser, server: Running, texts: dict[Path, str], tmp_path: Path
) -> None:
    (tmp_path / ".wav").write_bytes(SAID.read_bytes())
    with opened(browser, server) as page:
        page.locator("#file").set_input_files(tmp_path / ".wav")
        recognised(page)
        assert saved(page, "Text", "txt", "recording") == f"{texts[SAID]}\n"


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


def test_an_earlier_text_stays_until_there_is_another(
    browser: Browser, server: Running, texts: dict[Path, str], tmp_path: Path
) -> None:
    long_recording(tmp_path / "long.wav", 30)
    soundfile.write(tmp_path / "silence.wav", np.zeros(RATE), RATE)
    (tmp_path / "damaged.wav").write_bytes(SAID.read_bytes()[:9000])
    with opened(browser, server) as page:
        items, told = page.locator("#segments li"), page.locator("#told")
        cancel = page.get_by_role("button", name="Cancel")
        page.locator("#file").set_input_files(SAID)
        assert recognised(page) == [texts[SAID]]
        about = page.locator("#result-about").inner_text()
        for name in ("silence.wav", "damaged.wav"):  # of which there is no text
            page.locator("#file").set_input_files(tmp_path / name)
            expect(page.locator("#problem-text")).to_be_visible()
            assert recognised(page) == [texts[SAID]]
        page.get_by_role("button", name="Use the microphone").click()
        heard_for(page, 1)
        assert saved(page, "SRT", "srt").count("-->") == 1
        accessible(page)
        cancel.click()
        expect(told).to_have_text("Cancelled.")
        assert recognised(page) == [texts[SAID]]
        page.locator("#file").set_input_files(tmp_path / "long.wav")
        expect(page.locator("#result-about")).to_have_text("long.wav", timeout=60_000)
        expect(items.nth(1)).to_be_visible(timeout=60_000)
        expect(page.locator("#keep")).to_be_hidden()
        cancel.click()
        expect(told).to_have_text("Cancelled.")
        assert recognised(page) == [texts[SAID]]
        expect(page.locator("#result-about")).to_have_text(about)
        assert saved(page, "Text", "txt") == f"{texts[SAID]}\n"


def test_what_was_recognised_before_a_failure_can_be_kept(
    browser: Browser, workshop: Workshop, bundle: Path, tmp_path: Path
) -> None:
    long_recording(tmp_path / "long.wav", 30)
    with serving(workshop, bundle, tmp_path) as server, opened(browser, server) as page:
        page.locator("#file").set_input_files(tmp_path / "long.wav")
        page.locator("#segments li").nth(1).wait_for(timeout=60_000)
        server.process.kill()
        found = recognised(page)
        about = page.locator("#result-about")
        expect(about).to_contain_text("long.wav, not to its end, ")
        expect(about).to_contain_text(f", {len(found)} segments")
        again = page.get_by_role("button", name="Try again")
        expect(again).to_be_focused()
        accessible(page)
        kept = json.loads(saved(page, "JSON", "json", "long"))
        assert [segment["text"] for segment in kept["segments"]] == found
        assert kept["text"].splitlines() == found
        assert kept["duration"] == kept["segments"][-1]["end"]
        again.click()
        expect(page.locator("#work")).to_be_hidden()
        expect(again).to_be_focused()
        assert recognised(page) == found
        assert saved(page, "Text", "txt", "long").splitlines() == found


def test_a_file_damaged_within_is_not_tried_again(
    browser: Browser, server: Running, tmp_path: Path
) -> None:
    long_recording(tmp_path / "damaged.flac", 2)
    data = bytearray((tmp_path / "damaged.flac").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "damaged.flac").write_bytes(data)
    with opened(browser, server) as page:
        page.locator("#file").set_input_files(tmp_path / "damaged.flac")
        assert len(recognised(page)) > 1
        expect(page.locator("#result-about")).to_contain_text("not to its end")
        expect(page.locator("#problem-text")).to_contain_text("cut short or damaged")
        expect(page.get_by_role("button", name="Try again")).to_be_hidden()


# The browser's question whether the page may use the microphone, answered by the test.
_PROMPT = """() => {
  window.prompts = [];
  window.granted = [];
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = (wanted) =>
    new Promise((resolve, reject) => window.prompts.push({
      deny: () => reject(new DOMException("", "NotAllowedError")),
      grant: () => ask(wanted).then((stream) => {
        window.granted.push(stream);
        resolve(stream);
      }),
    }));
}"""
_STOPPED = "granted[{}]?.getTracks().every((track) => track.readyState === 'ended')"


def until(page: Page, condition: str) -> None:
    """As ``wait_for_function``, which the page's policy forbids."""
    page.evaluate(f"""async () => {{
      const end = Date.now() + 30_000;
      while (!({condition})) {{
        if (Date.now() > end) throw new Error("not within 30 s");
        await new Promise((later) => setTimeout(later, 20));
      }}
    }}""")


def test_cancel_does_not_wait_for_the_microphone(browser: Browser, server: Running) -> None:
    with opened(browser, server) as page:
        page.evaluate(_PROMPT)
        told, doing = page.locator("#told"), page.locator("#doing")
        for asked, answer in ((1, "deny"), (2, "grant")):
            page.evaluate("told.textContent = ''")
            page.get_by_role("button", name="Use the microphone").click()
            until(page, f"prompts.length === {asked}")
            expect(doing).to_contain_text("Waiting for the microphone")
            page.get_by_role("button", name="Cancel").click()
            expect(told).to_have_text("Cancelled.")
            expect(page.locator("#file")).to_be_focused()
            accessible(page)
            page.evaluate(f"prompts.at(-1).{answer}()")
        until(page, _STOPPED.format(0))  # what was granted too late is let go
        expect(page.locator("#problem")).to_be_hidden()
        page.get_by_role("button", name="Use the microphone").click()
        until(page, "prompts.length === 3")
        page.evaluate("prompts.at(-1).grant()")
        heard_for(page, 1)
        page.get_by_role("button", name="Cancel").click()
        until(page, _STOPPED.format(1))


def test_what_was_cancelled_asks_for_no_microphone(browser: Browser, server: Running) -> None:
    held: list[Route] = []
    with opened(browser, server) as page:
        page.evaluate(_PROMPT)
        page.route("**/v1/models", lambda route: held.append(route), times=1)
        with page.expect_request("**/v1/models"):
            page.get_by_role("button", name="Use the microphone").click()
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#told")).to_have_text("Cancelled.")
        with page.expect_response("**/v1/models") as answer:
            held[0].continue_()
        answer.value.finished()
        page.get_by_role("button", name="Use the microphone").click()
        until(page, "prompts.length > 0")
        assert page.evaluate("prompts.length") == 1
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#told")).to_have_text("Cancelled.")


def test_what_was_spoken_is_not_left_unasked(browser: Browser, server: Running) -> None:
    def leaving(page: Page) -> None:
        with page.expect_event("dialog") as question:
            page.evaluate("setTimeout(() => location.reload())")
        assert question.value.type == "beforeunload"
        question.value.dismiss()

    asked: list[Dialog] = []
    with opened(browser, server) as page:
        page.get_by_role("button", name="Use the microphone").click()
        heard_for(page, 2)
        leaving(page)
        heard_for(page, 3)
        page.get_by_role("button", name="Stop").click()
        found = recognised(page)
        leaving(page)
        assert recognised(page) == found
        with page.expect_download():
            page.get_by_role("button", name="Text", exact=True).click()
        expect(page.locator("#told")).to_contain_text("Saved microphone-")
        page.on("dialog", lambda dialog: (asked.append(dialog), dialog.accept()))
        page.reload()
        expect(page.locator("#health")).to_have_text("Ready")
        page.locator("#file").set_input_files(SAID)  # can be recognised once more
        recognised(page)
        page.reload()
        expect(page.locator("#health")).to_have_text("Ready")
    assert asked == []


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
        wrong = {"authorization": "Bearer 0123456789abcdef"}
        page.route(
            "**/subtitles?*",
            lambda route: route.continue_(headers={**route.request.headers, **wrong}),
            times=1,
        )
        page.get_by_role("button", name="SRT").click()
        expect(page.locator("#problem-text")).to_contain_text("key")
        accessible(page)
        field.fill(KEY)
        page.keyboard.press("Enter")
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
