"""What whoever runs the service chooses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asrpack.errors import UsageError

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Settings:
    """Of :func:`asrpack.runtime.service.serve.serve`.

    Attributes:
        host, port: where it listens; port 0: any that is free.
        decode: decoding method; None for the model's own.
        max_body: bytes of a request.
        max_duration: seconds of audio of a request.
        jobs: requests and streams under way at a time, the waiting ones among them.
        workers: threads that recognise; 0 for the machine's physical cores.
        latency: what batching aims at, in seconds for an utterance.
        api_keys: where the keys are (:func:`asrpack.runtime.service.api_keys.read_api_keys`); None:
            whoever reaches the service may use it.
        tls_certificate, tls_key: PEM files; None for plain HTTP.
        cors: origins whose pages may call it; ``*`` for all.
        drain: seconds that requests under way may take once it is told to stop.
        log_text: write recognised texts to the log.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    decode: str | None = None
    max_body: int = 512 * MEGABYTE
    max_duration: float = 4 * 3600.0
    jobs: int = 64
    workers: int = 0
    latency: float = 1.0
    api_keys: str | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    cors: tuple[str, ...] = ()
    drain: float = 25.0
    log_text: bool = False

    def __post_init__(self) -> None:
        """Raises UsageError where a number makes no sense, or a half is missing."""
        least = {"max_body": 1, "max_duration": 0.1, "jobs": 1, "latency": 0.01, "drain": 0}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise _usage(f"{name} is {getattr(self, name)}", f"give {value} or more")
        if not 0 <= self.port <= 65535:
            raise _usage(f"the port is {self.port}", "give 0 to 65535")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise _usage(
                "a certificate and its key come together", "give --tls-certificate and --tls-key"
            )


def _usage(problem: str, remedy: str) -> UsageError:
    return UsageError(problem, code="usage", remedy=remedy)
