"""The service on the unmodified quickstart bundle, with the clients that people have."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import openai
import pytest
import soundfile

from asrpack.runtime.audio import read_audio
from tests.e2e.conftest import RECIPE, Workshop
from tests.runtime.service.protocol_clients import funasr, funasr_text, vosk, wenet
from tests.runtime.service.running import Running, own_runtime, running

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e")]
HUMAN = sorted((RECIPE.parent / "data" / "human").glob("*.wav"))
RATE = 16000


def serving(workshop: Workshop, bundle: Path, folder: Path) -> AbstractContextManager[Running]:
    """By the bundle's own command line, from its folder alone."""
    keys = ["--identity", workshop.keys / "acme.key", "--trust", workshop.keys / "vendor.pub"]
    command = [sys.executable, "-m", "asrpack.runtime", "serve", bundle, *keys]
    return running(command, folder / "log", own_runtime(bundle))


def start(workshop: Workshop, bundle: Path, folder: Path) -> Iterator[Running]:
    """It must end as it ought, without a fault in between."""
    with serving(workshop, bundle, folder) as found:
        yield found
        assert found.stop() == 0
        assert "failed" not in [line["event"] for line in found.lines()]


@pytest.fixture(scope="module")
def server(
    workshop: Workshop, bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    yield from start(workshop, bundle, tmp_path_factory.mktemp("service"))


@pytest.fixture(scope="module")
def texts(workshop: Workshop, bundle: Path) -> dict[Path, str]:
    """As ``asrpack run`` has them."""
    done = workshop.asrpack(
        *("run", str(bundle), *map(str, HUMAN), "--json"),
        *("--identity", str(workshop.keys / "acme.key")),
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {Path(item["audio"]): item["text"] for item in found}


def client(server: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def test_openais_client_gets_the_text_of_run(server: Running, texts: dict[Path, str]) -> None:
    create = client(server).audio.transcriptions.create
    for path, text in texts.items():
        assert create(file=path, model="whisper-1").text == text
    found = create(
        file=HUMAN[1],
        model="digits-cards",
        response_format="verbose_json",
        timestamp_granularities=["word"],
    )
    assert [word.word for word in found.words] == texts[HUMAN[1]].split()


def test_many_clients_at_once(server: Running, texts: dict[Path, str]) -> None:
    create = client(server).audio.transcriptions.create
    with ThreadPoolExecutor(12) as pool:
        wanted = list(texts) * 12
        found = list(pool.map(lambda path: create(file=path, model="whisper-1").text, wanted))
    assert found == [texts[path] for path in wanted]


def long_recording(path: Path, minutes: int) -> list[Path]:
    """The human recordings over and over with pauses; returns which were said."""
    rng, said, count = np.random.default_rng(3), [], 0
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as out:
        while count < minutes * 60 * RATE:
            said.append(HUMAN[rng.integers(len(HUMAN))])
            samples = np.pad(read_audio(said[-1], RATE) / 32768, (0, round(0.8 * RATE)))
            out.write(samples)
            count += len(samples)
    return said


def peak(server: Running) -> int:
    """Kilobytes that the process has ever had in memory."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0])


def test_long_recordings_in_flat_memory(
    server: Running, texts: dict[Path, str], tmp_path: Path
) -> None:
    create, peaks = client(server).audio.transcriptions.create, []
    for minutes in (10, 30):
        path = tmp_path / f"{minutes}.flac"
        said = long_recording(path, minutes)
        found = create(file=path, model="whisper-1", response_format="verbose_json")
        right = sum(a.text == texts[b] for a, b in zip(found.segments, said, strict=False))
        assert right > 0.9 * len(said)
        assert len(found.segments) == len(said)
        assert abs(found.segments[-1].end - found.duration) < 2
        peaks.append(peak(server))
    assert peaks[1] < peaks[0] + 30_000  # 20 minutes of samples are 77,000


@pytest.mark.oracle
def test_paddlespeechs_own_client_over_http(server: Running, texts: dict[Path, str]) -> None:
    pytest.importorskip("paddlespeech")
    for path in HUMAN[:2]:
        result = paddlespeech_client("ASRHttpHandler", server, path)
        assert result["success"] and result["result"]["transcription"] == texts[path]


@pytest.fixture(scope="module")
def streams(
    workshop: Workshop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Running, dict[Path, str]]]:
    """The model that streams, served, and its texts as ``asrpack run`` has them."""
    workshop.build("--build=fp32", "--set=name=digits-streams", "--set=streaming={}")
    bundle = workshop.out / "digits-streams-1.0.0-fp32" / "bundle"
    done = workshop.asrpack(
        *("run", str(bundle), *map(str, HUMAN), "--json", "--streaming"),
        *("--identity", str(workshop.keys / "acme.key")),
    )
    wanted = [json.loads(line) for line in done.stdout.splitlines()]
    for server in start(workshop, bundle, tmp_path_factory.mktemp("streams")):
        yield server, {Path(item["audio"]): item["text"] for item in wanted}


@pytest.mark.oracle
def test_paddlespeechs_own_client_over_websocket(streams: tuple[Running, dict[Path, str]]) -> None:
    pytest.importorskip("paddlespeech")
    server, wanted = streams
    for path, text in wanted.items():
        result = paddlespeech_client("ASRWsAudioHandler", server, path)
        assert (result["signal"], result["result"]) == ("finished", text)
        assert [unit["w"] for unit in result["times"]] == text.split()


def test_a_client_of_vosk(streams: tuple[Running, dict[Path, str]]) -> None:
    server, wanted = streams
    for path, text in wanted.items():
        found = asyncio.run(vosk(f"ws://127.0.0.1:{server.port}/vosk", read_audio(path, RATE)))
        assert " ".join(item["text"] for item in found if item.get("text")) == text
        words = [word["word"] for item in found for word in item.get("result", [])]
        assert words == text.split()


def test_a_client_of_wenet(streams: tuple[Running, dict[Path, str]]) -> None:
    server, wanted = streams
    for path, text in wanted.items():
        samples = read_audio(path, RATE)
        found = asyncio.run(
            wenet(f"ws://127.0.0.1:{server.port}/", samples, continuous_decoding=True)
        )
        nbest = [json.loads(item["nbest"])[0] for item in found if item["type"] == "final_result"]
        assert " ".join(item["sentence"] for item in nbest if item["sentence"]) == text
        assert [piece["word"] for item in nbest for piece in item["word_pieces"]] == text.split()


@pytest.mark.parametrize("mode", ["2pass", "online", "offline"])
def test_a_client_of_funasr(streams: tuple[Running, dict[Path, str]], mode: str) -> None:
    server, wanted = streams
    for path, text in wanted.items():
        samples = read_audio(path, RATE)
        found = asyncio.run(funasr(f"ws://127.0.0.1:{server.port}/", samples, mode=mode))
        if mode == "offline":
            create = client(server).audio.transcriptions.create
            text = create(file=path, model="whisper-1").text
        assert funasr_text(found) == text


@pytest.mark.parametrize(
    "protocol", ["openai", "paddlespeech", "paddlespeech-stream", "wenet", "funasr", "vosk"]
)
def test_load_of_every_protocol_gets_the_texts_of_run(
    workshop: Workshop,
    server: Running,
    texts: dict[Path, str],
    streams: tuple[Running, dict[Path, str]],
    tmp_path: Path,
    protocol: str,
) -> None:
    """None is refused, fails, or gets another."""
    whole = protocol in ("openai", "paddlespeech")
    loaded, wanted = (server, texts) if whole else streams
    expected = tmp_path / "expected.jsonl"
    lines = [{"audio": str(path), "text": text} for path, text in wanted.items()]
    expected.write_text("\n".join(map(json.dumps, lines)))
    done = workshop.asrpack(
        *("stress", loaded.url, "--protocol", protocol, "--manifest", str(expected), "--json"),
        *("--concurrency", "5", "--duration", "2", "--warm-up", "1", "--pace", "0.5"),
    )
    requests = json.loads(done.stdout)["requests"]
    assert requests["ok"] == requests["sent"] >= 5


# Its packages import all of PaddleSpeech and PaddleNLP, which does not load beside every
# huggingface_hub; the client itself needs none of that.
_CLIENT = """
import asyncio, json, sys, types
from importlib.util import find_spec
root = find_spec("paddlespeech").submodule_search_locations[0]
for folder in ("", "/cli", "/server", "/server/utils"):
    name = "paddlespeech" + folder.replace("/", ".")
    package = sys.modules[name] = types.ModuleType(name)
    package.__path__ = [root + folder]
from paddlespeech.server.utils import audio_handler
name, port, path = sys.argv[1:]
if name == "ASRHttpHandler":
    result = audio_handler.ASRHttpHandler("127.0.0.1", port).run(path, "wav", 16000, "en")
else:
    handler = audio_handler.ASRWsAudioHandler("127.0.0.1", port, "/paddlespeech/asr/streaming")
    result = asyncio.run(handler.run(path))
print("RESULT" + json.dumps(result))
"""


def paddlespeech_client(name: str, server: Running, path: Path) -> dict:
    """PaddleSpeech logs to standard output, and runs in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _CLIENT, name, str(server.port), str(path)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    (result,) = re.findall("^RESULT(.*)$", done.stdout, re.MULTILINE) or [done.stderr]
    return json.loads(result)
