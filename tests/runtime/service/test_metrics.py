"""What streams and recordings count as, and what they do not."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.runtime.conftest import Sealed
from tests.runtime.service.running import Running, running
from tests.runtime.service.test_paddlespeech import SAMPLES
from tests.runtime.service.test_server import PATH, command, environment, post

NAMES = {
    "audio": "asrpack_audio_seconds_total",
    "busy": "asrpack_busy_seconds_total",
    "factors": "asrpack_real_time_factor_sum",
    "count": "asrpack_real_time_factor_count",
}
SECONDS = len(SAMPLES) / 16000


@pytest.fixture
def server(streaming_sealed: Sealed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    log = tmp_path_factory.mktemp("service") / "log"
    limits = ["--jobs", "1", "--threads", "1"]
    with running(command(streaming_sealed, *limits), log, environment(streaming_sealed)) as found:
        yield found


def gauges(server: Running) -> dict[str, float]:
    return {name: server.gauge(gauge) for name, gauge in NAMES.items()}


def dictate(stream: ClientConnection, pause: float) -> None:
    """With a pause in the middle, as who thinks makes them."""
    pcm = SAMPLES.astype("<i2").tobytes()
    stream.send(pcm[: len(pcm) // 2])
    stream.recv(timeout=60)
    time.sleep(pause)
    stream.send(pcm[len(pcm) // 2 :])
    stream.recv(timeout=60)


@pytest.mark.parametrize("path", ["/vosk", "/wenet"])
def test_a_stream_counts_as_its_audio_and_its_work(server: Running, path: str) -> None:
    before = gauges(server)
    with connect(server.url.replace("http", "ws") + path) as stream:
        if path == "/wenet":
            stream.send('{"signal": "start", "continuous_decoding": true}')
            stream.recv(timeout=60)
        dictate(stream, 4.0)
        assert server.gauge(NAMES["audio"]) == pytest.approx(before["audio"] + SECONDS)
        stream.send('{"eof" : 1}' if path == "/vosk" else '{"signal": "end"}')
        for _ in stream:
            pass
    assert server.logged(path=path, status=101)
    spent = {name: value - before[name] for name, value in gauges(server).items()}
    assert spent["audio"] == pytest.approx(SECONDS)
    assert spent["count"] == 1
    assert spent["busy"] > 0
    assert spent["factors"] == pytest.approx(spent["busy"] / SECONDS)


def test_a_recording_counts_as_its_audio_and_its_work(server: Running) -> None:
    before = gauges(server)
    assert post(server).status_code == 200
    assert server.logged(path=PATH, status=200)
    spent = {name: value - before[name] for name, value in gauges(server).items()}
    assert spent["count"] == 1
    assert spent["busy"] > 0
    assert spent["factors"] == pytest.approx(spent["busy"] / 2)


def test_when_to_come_back_does_not_depend_on_how_long_somebody_spoke(server: Running) -> None:
    url = server.url.replace("http", "ws") + "/vosk"
    with connect(url) as stream:
        dictate(stream, 3.0)
        stream.send('{"eof" : 1}')
        stream.recv(timeout=60)
    with connect(url) as stream:
        dictate(stream, 0.0)
        refused = post(server)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
