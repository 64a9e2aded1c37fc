"""The HTTP servers that :mod:`benchmarks.paddlespeech_server` compares.

    python -m benchmarks.server_systems CONFIG

is PaddleSpeech's own: what ``paddlespeech_server start --config_file CONFIG`` does for a
recogniser, with PaddleSpeech's engine, routes and handlers, but for two things. Its package imports
the servers of all its tasks, and with them PaddleNLP, which does not load beside every
huggingface_hub: only the recogniser's modules are imported here. And it sends no usage statistics.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]
START_SECONDS = 120
CONFIG = """\
host: 127.0.0.1
port: {port}
protocol: http
engine_list: [asr_python]
asr_python:
    model: conformer_wenetspeech  # the class is chosen by the name
    lang: zh
    sample_rate: 16000
    cfg_path: {model}/model.yaml
    ckpt_path: {checkpoint}
    decode_method: {method}
    force_yes: True
    device: cpu
"""


@dataclass(frozen=True)
class Server:
    """One that answers.

    Attributes:
        pid: of its process.
        port: at 127.0.0.1.
    """

    pid: int
    port: int

    def ask(self, body: bytes) -> str:
        """The text of a recording, on a new connection as PaddleSpeech's client has it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/paddlespeech/asr", body, headers)
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if not answer["success"]:
            sys.exit(f"{self} refused a recording: {answer}")
        return str(answer["result"]["transcription"])

    def cpu_seconds(self) -> float:
        """Of all its threads so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_bytes(self) -> int:
        """Most memory that it held."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@contextmanager
def asrpack(
    bundle: Path, identity: Path, trust: Path, method: str, cpus: Sequence[int]
) -> Iterator[Server]:
    """``asrpack serve``, at its defaults."""
    port = _free_port()
    command = ["asrpack", "serve", str(bundle), "--identity", str(identity)]
    command += ["--trust", str(trust), "--decode", method, "--port", str(port)]
    with _running(command, port, cpus, {}, ROOT) as server:
        yield server


@contextmanager
def paddlespeech(
    model: Path, checkpoint: Path, method: str, cpus: Sequence[int], threads: int
) -> Iterator[Server]:
    """PaddleSpeech's, in the folder of its model, whose paths are relative to it.

    Args:
        threads: of an operator; Paddle takes them from the environment.
    """
    port = _free_port()
    config = model / "server.yaml"
    config.write_text(
        CONFIG.format(port=port, model=model, checkpoint=checkpoint.with_suffix(""), method=method)
    )
    variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    more = dict.fromkeys(variables, str(threads))
    command = ["benchmarks.server_systems", str(config)]
    with _running(command, port, cpus, more, model) as server:
        yield server


@contextmanager
def _running(
    command: Sequence[str],
    port: int,
    cpus: Sequence[int],
    environment: Mapping[str, str],
    folder: Path,
) -> Iterator[Server]:
    """Starts a module, confined to some CPUs, and waits until it answers."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            ["taskset", "-c", ",".join(map(str, cpus)), sys.executable, "-m", *command],
            stdout=log,
            stderr=log,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | dict(environment),
            cwd=folder,
        )
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    sys.exit(f"{' '.join(command)} does not answer:\n{log.read().decode()}")
                time.sleep(0.1)
            yield Server(process.pid, port)
        finally:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/paddlespeech/asr/help")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def main() -> None:
    """PaddleSpeech's server, until it is ended."""
    os.environ["PIP_NO_INDEX"] = "1"  # see asrpack.measure.oracle
    found = find_spec("paddlespeech")
    if found is None or not found.submodule_search_locations:
        sys.exit("PaddleSpeech is not installed: pip install 'asrpack[build,paddlespeech]'")
    for name in ("cli", "server"):
        package = sys.modules[f"paddlespeech.{name}"] = types.ModuleType(f"paddlespeech.{name}")
        package.__path__ = [f"{found.submodule_search_locations[0]}/{name}"]
    import uvicorn
    from fastapi import FastAPI
    from paddlespeech.server.engine.engine_pool import init_engine_pool
    from paddlespeech.server.restful.asr_api import router
    from paddlespeech.server.utils.config import get_config

    config = get_config(sys.argv[1])
    app = FastAPI()
    app.include_router(router)
    if not init_engine_pool(config):
        sys.exit("PaddleSpeech could not load the model; see above")
    uvicorn.run(app, host=config.host, port=config.port)


if __name__ == "__main__":
    main()
