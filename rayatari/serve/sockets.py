"""WebSocket settings of uvicorn, which Ray Serve leaves at their defaults."""

import functools
from typing import Any

MOST_BYTES = 65_536
"""Messages over this never reach a session: the proxy closes with 1009."""


def configure() -> list[Any]:
    """Called in every process where Serve starts uvicorn (RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH).

    Compression off, since frames are compressed already and it costs up to twelve times the rest; small
    messages and short queues. Adds no middleware.
    """
    import uvicorn

    original = uvicorn.Config.__init__
    if not hasattr(original, "__wrapped__"):

        @functools.wraps(original)
        def with_limits(self: uvicorn.Config, *args: Any, **kwargs: Any) -> None:
            limits = {"ws_per_message_deflate": False, "ws_max_size": MOST_BYTES, "ws_max_queue": 8}
            original(self, *args, **{**limits, **kwargs})

        uvicorn.Config.__init__ = with_limits  # type: ignore[method-assign]
    return []
