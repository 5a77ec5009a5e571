"""The Ray Serve application: FastAPI in front, the models in the same replica."""

import asyncio
import gc
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from ray import serve
from starlette.websockets import WebSocketState

from rayatari.config.load import validate
from rayatari.config.schema import Config
from rayatari.memory import keep_freed_memory
from rayatari.protocol import PATH
from rayatari.serve.arcade import open_arcade
from rayatari.serve.connection import serve_socket
from rayatari.serve.hub import Hub
from rayatari.serve.origin import may_connect
from rayatari.serve.store import RayStore

APPLICATION = "rayatari"
_LOG = logging.getLogger("rayatari.serve")
_PAGES = StaticFiles(directory=Path(__file__).parent / "web", html=True)

app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)


@app.middleware("http")
async def no_stale_pages(request: Request, call_next: Any) -> Response:
    """Have browsers ask whether a page is still the same: the client and the server change together."""
    response: Response = await call_next(request)
    response.headers.setdefault("Cache-Control", "no-cache")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    return response


def _unauthorized() -> Response:
    said = {"error": "the access token is missing or wrong", "remedy": "add ?token=… or a bearer token"}
    return JSONResponse(said, 401)


def _is_stopping() -> bool:
    """Whether Serve has told this replica to stop.

    Behind its Python proxy Serve tells neither handlers nor user code (Ray 2.60), so its own flag is read.
    """
    worker = ray._private.worker.global_worker
    replica = worker.actors.get(worker.actor_id)
    return bool(getattr(getattr(replica, "_replica_impl", None), "_shutting_down", False))


@serve.deployment(name="arcade")
@serve.ingress(app)
class Server:
    """One replica: HTTP, WebSockets, and the models behind a batcher."""

    async def __init__(self, config: Config) -> None:  # type: ignore[misc]
        self.config = config.serve
        keep_freed_memory(one_arena=True)
        arcade = open_arcade(config)
        loop = asyncio.get_running_loop()
        context = serve.get_replica_context()
        replica = context.replica_id.unique_id
        # In a thread: looking up a named actor waits for answers that this loop has to take in.
        store = await loop.run_in_executor(None, RayStore, context.app_name, replica, self.config.resume_s)
        self.hub = Hub(arcade, self.config, store, replica)
        self.hub.start()
        await self.hub.warm_up()
        gc.freeze()  # what is loaded by now stays: collections need not look at it again
        self._watch = loop.create_task(self._leave_when_stopped())

    def check_health(self) -> None:
        """Called by Serve: raises when the replica has to be replaced."""
        if not self.hub.healthy:
            raise RuntimeError("a loop of the hub has stopped")

    async def _leave_when_stopped(self) -> None:
        while not _is_stopping():
            await asyncio.sleep(0.2)
        await self.hub.drain()

    @app.get("/healthz")
    async def healthz(self) -> Response:
        """200 when sessions can begin."""
        return PlainTextResponse("ok" if self.hub.healthy else "ill", 200 if self.hub.healthy else 503)

    @app.get("/games")
    async def games(self, request: Request) -> Response:
        """The games and limits of this server."""
        if not self._admits(request):
            return _unauthorized()
        return JSONResponse(self.hub.describe())

    @app.get("/metrics")
    async def metrics(self, request: Request) -> Response:
        """Prometheus text of the replica that answers."""
        if not self._admits(request):
            return _unauthorized()
        return Response(self.hub.metrics.text(), media_type="text/plain; version=0.0.4")

    @app.websocket(PATH)
    async def play(self, websocket: WebSocket) -> None:
        """A session (docs/protocol.md)."""
        headers = websocket.headers
        if not may_connect(headers.get("origin"), headers.get("host", ""), self.config):
            await websocket.close()  # before accepting: the handshake is answered 403
            return
        await websocket.accept()
        try:
            await serve_socket(websocket, self.hub)
        finally:
            if websocket.client_state is WebSocketState.DISCONNECTED:
                _LOG.debug("a player left")

    @app.api_route("/{path:path}", methods=["GET", "HEAD"])  # the last one: it takes all that is left
    async def page(self, path: str, request: Request) -> Response:
        """The browser client."""
        return await _PAGES.get_response(path or ".", request.scope)

    def _admits(self, request: Request) -> bool:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        return self.hub.knows_token(request.query_params.get("token") or bearer)


def bind(config: Config) -> serve.Application:
    """The application of a validated ``config``, to be run or deployed."""
    settings = config.serve
    sockets = settings.sessions * 2 + 16  # those that are being refused count as well
    deployment = Server.options(  # type: ignore[attr-defined]
        num_replicas=settings.replicas,
        max_ongoing_requests=sockets,
        max_queued_requests=sockets,  # those that connect at the same moment are queued for one
        ray_actor_options={"num_cpus": settings.cpus, "num_gpus": settings.gpus},
        health_check_period_s=1.0,
        health_check_timeout_s=10.0,
        graceful_shutdown_timeout_s=8.0,
        graceful_shutdown_wait_loop_s=0.2,
        max_constructor_retry_count=1,
    )
    return deployment.bind(config)


def build(args: dict[str, Any]) -> serve.Application:
    """For Serve config files: ``import_path: rayatari.serve.app:build``, ``args`` as in a rayatari config.

    An empty token is that of RAYATARI_TOKEN on the cluster.
    """
    config = validate(args)
    token = config.serve.token or os.environ.get("RAYATARI_TOKEN", "")
    return bind(replace(config, serve=replace(config.serve, token=token)))
