"""A bundle at work sends nothing anywhere: not from its start to its end, not once it idles."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from asrpack.runtime.audio import read_audio
from tests.runtime.conftest import Sealed
from tests.runtime.isolated import Packet, alone
from tests.runtime.service.protocol_clients import funasr, vosk, wenet
from tests.runtime.service.running import running
from tests.runtime.service.test_server import SOUND, command, environment, post

# ONNX Runtime's telemetry, where it is on, asks for its server's address within this.
IDLE_SECONDS = 50

_TRY = """
import socket
for address in ("192.0.2.1", "2001:db8::1", "127.0.0.1"):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as found:
        found.settimeout(0.1)
        try:
            found.connect((address, 443))
        except OSError:
            pass
"""


@pytest.fixture
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home; and no variable that this process, not the bundle, has set."""
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    return home


def test_what_is_tried_is_seen() -> None:
    """Or the other tests would say nothing."""
    _, sent = alone(lambda: subprocess.run([sys.executable, "-c", _TRY], check=True))
    tried = {(packet.device, packet.target, packet.ports[1]) for packet in sent}
    wanted = {("sink", "192.0.2.1", 443), ("sink", "2001:db8::1", 443), ("lo", "127.0.0.1", 443)}
    assert wanted <= tried


@pytest.mark.slow
def test_a_service(streaming_sealed: Sealed, clean: Path, tmp_path: Path) -> None:
    samples = read_audio(SOUND, 16000)

    def work() -> int:
        start, log = command(streaming_sealed), tmp_path / "log"
        with running(start, log, environment(streaming_sealed)) as server:
            assert post(server).status_code == 200
            audio = {"audio": base64.b64encode(SOUND).decode()}
            assert httpx.post(f"{server.url}/paddlespeech/asr", json=audio).status_code == 200
            sockets = server.url.replace("http", "ws")
            for talk, path in ((vosk, "/vosk"), (wenet, "/wenet"), (funasr, "/funasr")):
                assert asyncio.run(talk(sockets + path, samples))
            time.sleep(IDLE_SECONDS)
            assert server.gauge("asrpack_jobs ") == 0
            assert server.stop() == 0
        return server.port

    port, sent = alone(work)
    assert any(packet.is_of(port) for packet in sent)
    assert strangers(sent, port) == set()
    assert not list(clean.iterdir())


def test_commands(sealed_once: Sealed, clean: Path, tmp_path: Path) -> None:
    audio = tmp_path / "audio"
    audio.mkdir()
    (audio / "a.wav").write_bytes(SOUND)
    keys = ["--identity", sealed_once.identity, "--trust", sealed_once.trust]
    runtime = [sys.executable, "-m", "asrpack.runtime"]
    commands: list[list[str | Path]] = [
        [*runtime, "run", sealed_once.path, audio / "a.wav", *keys],
        [*runtime, "transcribe", sealed_once.path, audio, "-o", tmp_path / "texts", *keys],
        [*runtime, "selftest", sealed_once.path, *keys],
        [*runtime, "verify", sealed_once.path, "--trust", sealed_once.trust],
    ]

    env = os.environ | environment(sealed_once)

    def work() -> list[subprocess.CompletedProcess[str]]:
        return [subprocess.run(item, capture_output=True, text=True, env=env) for item in commands]

    done, sent = alone(work)
    assert [item.returncode for item in done] == [0] * len(commands), done
    assert strangers(sent) == set()
    assert not list(clean.iterdir())


def strangers(sent: list[Packet], port: int = 0) -> set[Packet]:
    """What is not between a client of this test and the server at the port."""
    return {packet for packet in sent if not packet.is_of(port)}
