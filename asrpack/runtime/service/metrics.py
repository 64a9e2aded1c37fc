"""What Prometheus reads at ``/metrics``."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from asrpack.runtime.service.engine import Engine

_SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800)
_FACTORS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2)
_SIZES = (1, 2, 4, 8, 16)


class Metrics:
    """The service's own, and its process's memory, CPU time and open files."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._requests = Counter(
            "asrpack_requests", "Requests answered.", ["route", "status"], registry=self.registry
        )
        self._latency = self._histogram("request_seconds", "From request to answer.", _SECONDS)
        self._factor = self._histogram(
            "real_time_factor", "Workers' seconds for one of audio, of a recording.", _FACTORS
        )
        self._batches = self._histogram("batch_size", "Utterances recognised at once.", _SIZES)
        self._audio = Counter(
            "asrpack_audio_seconds", "Audio recognised, in seconds.", registry=self.registry
        )
        self._busy = Counter(
            "asrpack_busy_seconds", "Time that workers worked.", registry=self.registry
        )

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"asrpack_{name}", text, buckets=buckets, registry=self.registry)

    def watch(self, engine: Engine) -> None:
        """Reads the engine's queue and licence whenever it is asked."""
        self._gauge("jobs", "Requests and streams under way.").set_function(lambda: engine.running)
        self._gauge("queue_utterances", "Utterances that wait.").set_function(
            lambda: engine.waiting()[0]
        )
        self._gauge("queue_audio_seconds", "Audio that waits.").set_function(
            lambda: engine.waiting()[1]
        )
        self._gauge("workers", "Threads that recognise.").set(engine.workers)
        lease = engine.recognizer.lease
        if lease is not None and lease.days_left() is not None:
            self._gauge(
                "licence_days_left", "Days until the licence, grace included, ends."
            ).set_function(lambda: lease.days_left() or 0.0)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"asrpack_{name}", text, registry=self.registry)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """One request."""
        self._requests.labels(route, str(status)).inc()
        self._latency.observe(seconds)

    def transcribed(self, audio: float, seconds: float) -> None:
        """One recording or stream, of so many seconds, on which workers spent so many."""
        if audio:
            self._factor.observe(seconds / audio)

    def batch(self, size: int, audio: float) -> None:
        """As for :class:`Engine`'s ``on_batch``."""
        self._batches.observe(size)
        self._audio.inc(audio)

    def streamed(self, audio: float) -> None:
        """So many seconds of a stream were recognised."""
        self._audio.inc(audio)

    def busy(self, seconds: float) -> None:
        """As for :class:`Engine`'s ``on_busy``."""
        self._busy.inc(seconds)

    def render(self) -> bytes:
        """In Prometheus's text format."""
        return generate_latest(self.registry)
