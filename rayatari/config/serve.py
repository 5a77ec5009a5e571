"""Settings of ``rayatari serve``."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ServeConfig:
    """What is served, where, to how many, and what a session may do."""

    host: str = "127.0.0.1"
    """Address to listen on; outside loopback (such as 0.0.0.0) a token is needed."""
    port: int = 8000
    """Port of HTTP and WebSocket."""
    bundles: tuple[str, ...] = ()
    """Neural-game bundles to serve, a folder each and one a game; empty is the run's own, or else all that
    come with the package."""
    agents: tuple[str, ...] = ()
    """Policy bundles that can take over a session, at most one a game; empty is the run's own, or else those
    that come with the package."""
    token: str = ""
    """Access token that clients must send; empty takes RAYATARI_TOKEN when that is set."""
    origins: tuple[str, ...] = ()
    """Origins, such as ``https://play.example.org``, whose pages may connect beside the server's own."""
    ingress: Literal["auto", "direct", "proxy", "haproxy"] = "auto"
    """Way of the bytes into Ray Serve. ``direct``: the replica itself listens; the fastest, one replica on
    this machine. ``proxy``: Serve's Python proxy. ``haproxy``: HAProxy, fast too, but Linux only, and it
    opens ports 9101 and 8404 on every interface. ``auto`` is direct for one replica, proxy for more. A
    cluster that is joined keeps its own way."""
    replicas: int = 1
    """Replicas of the server, each with the models and its own sessions."""
    cpus: float = 1.0
    """CPUs that Ray reserves for a replica."""
    gpus: float = 0.0
    """GPUs that Ray reserves for a replica."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the models run; ``auto`` takes a GPU when the replica has one."""
    threads: int = 0
    """Torch threads of a replica; 0 leaves one core to the network and to players on this machine."""
    temperature: float = 1.0
    """Temperature of sessions that ask for none: 0 is the likeliest course, 1 as learned."""
    sessions: int = 32
    """Sessions that a replica plays at once; one more is told to try later."""
    message_bytes: int = 4096
    """Longest message of a client."""
    messages_per_second: int = 1000
    """Messages a second that a client may send, on average over two seconds."""
    waiting: int = 64
    """Messages of a client that may wait for their turn."""
    window: int = 32
    """Frames that are sent beyond the last one that the client has said to have seen."""
    slow_s: float = 10.0
    """Seconds with a full window after which a client is cut off as too slow."""
    hello_s: float = 5.0
    """Seconds in which a client must say hello."""
    idle_s: float = 60.0
    """Seconds without a message after which a client is cut off."""
    resume_s: float = 600.0
    """Seconds that a session without a connection is kept."""
    snapshot_s: float = 1.0
    """Seconds between two snapshots of the sessions, which outlive a lost replica."""

    def __post_init__(self) -> None:
        positive = (
            self.replicas, self.sessions, self.messages_per_second, self.waiting, self.window,
            self.slow_s, self.hello_s, self.idle_s, self.resume_s, self.snapshot_s,
        )  # fmt: skip
        if min(positive) <= 0:
            raise ValueError("replicas, sessions, limits and seconds must be above 0")
        if not 1 <= self.port <= 65535:
            raise ValueError("port must be 1 to 65535")
        if not 512 <= self.message_bytes <= 65_536:
            raise ValueError("message_bytes must be 512 to 65536")
        if self.window < 16:
            raise ValueError("window must be at least 16: clients say at every 8th frame what they have seen")
        if not 0 <= self.temperature <= 10:
            raise ValueError("temperature must be 0 to 10")
        if min(self.cpus, self.gpus, self.threads) < 0:
            raise ValueError("cpus, gpus and threads must be 0 or more")
