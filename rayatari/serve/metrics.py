"""What a server counts, as Prometheus reads it."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.067, 0.08, 0.1, 0.2, 0.5, 1.0)
_BATCHES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The counters of one replica."""

    def __init__(self, replica: str, sessions: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        playing = Gauge("rayatari_sessions", "Sessions that are played", ["replica"], registry=self._registry)
        playing.labels(replica).set_function(sessions)
        self.step_seconds = Histogram(
            "rayatari_step_seconds", "Time that a batch of turns took in the network",
            registry=self._registry, buckets=_SECONDS,
        )  # fmt: skip
        self.look_seconds = Histogram(
            "rayatari_look_seconds", "Time that a batch spent in the network ahead of its players' actions",
            registry=self._registry, buckets=_SECONDS,
        )  # fmt: skip
        self.batch_size = Histogram(
            "rayatari_batch_sessions", "Sessions in a batch", registry=self._registry, buckets=_BATCHES
        )
        self.sent = Counter("rayatari_frames_sent", "Frames sent", registry=self._registry)
        self.dropped = Counter(
            "rayatari_frames_dropped", "Frames that a newer one replaced", registry=self._registry
        )
        self.received = Counter("rayatari_messages_received", "Messages received", registry=self._registry)
        self.closed = Counter(
            "rayatari_sockets_closed", "Sockets that the server closed", ["code"], registry=self._registry
        )

    def text(self) -> bytes:
        """Prometheus text, version 0.0.4."""
        return generate_latest(self._registry)
