"""Socket settings that Ray Serve leaves at their defaults and offers no option for (Ray 2.60)."""

import functools
import os
from typing import Any

DIRECT_HOST = "RAYATARI_DIRECT_HOST"
"""Environment variable: address on which a replica listens by itself, apart from Serve's idle proxy."""
MOST_BYTES = 65_536
"""Messages over this never reach a session: uvicorn closes with 1009."""


def configure() -> list[Any]:
    """Called in every process where Serve starts uvicorn (RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH).

    Adds no middleware, but has two settings changed before the server starts.
    """
    _limit_websockets()
    if os.environ.get(DIRECT_HOST):
        _listen_directly(os.environ[DIRECT_HOST])
    return []


def _limit_websockets() -> None:
    """No compression: frames are compressed already, and it costs up to twelve times the rest."""
    import uvicorn

    original = uvicorn.Config.__init__
    if hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    def with_limits(self: uvicorn.Config, *args: Any, **kwargs: Any) -> None:
        limits = {"ws_per_message_deflate": False, "ws_max_size": MOST_BYTES, "ws_max_queue": 8}
        original(self, *args, **{**limits, **kwargs})

    uvicorn.Config.__init__ = with_limits  # type: ignore[method-assign]


def _listen_directly(host: str) -> None:
    """Have replicas listen on ``host``, also on the port of a killed one, which the system still holds."""
    from ray.serve._private import replica

    original = replica.start_asgi_http_server
    if hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    async def reusing(app: Any, options: Any, **kwargs: Any) -> Any:
        options = options.model_copy(update={"host": host})
        return await original(app, options, **{**kwargs, "enable_so_reuseport": True})

    replica.start_asgi_http_server = reusing
