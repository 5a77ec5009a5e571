"""The server on a cluster that runs already: several replicas, a new version, Serve's own proxy."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace

import pytest
from minimal_client import MinimalClient
from ray import serve
from serving import served_config
from websockets.exceptions import WebSocketException

from rayatari.config.schema import Config
from rayatari.config.serve import ServeConfig
from rayatari.serve.app import APPLICATION, bind, build
from rayatari.serve.local import free_port
from rayatari.serve.store import remove_vault

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    port = free_port()
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    yield f"http://127.0.0.1:{port}"
    serve.delete(APPLICATION)
    remove_vault(APPLICATION)
    serve.shutdown()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    made = served_config(tmp_path_factory.mktemp("deploy"))
    return replace(made, serve=replace(made.serve, replicas=2, cpus=0.5))


def deploy(application: serve.Application) -> None:
    serve.run(application, name=APPLICATION, route_prefix="/")


async def resumed(url: str, token: str) -> MinimalClient:
    """A client that connects, again and again, until its session goes on."""
    while True:
        client = MinimalClient(url, mode="lockstep", resume=token)
        try:
            await client.__aenter__()
            await client.frame()
            return client
        except (OSError, WebSocketException, KeyError):
            await asyncio.sleep(0.2)


def test_a_session_goes_on_at_whichever_replica_answers(url: str, config: Config) -> None:
    deploy(bind(config))

    async def act() -> None:
        client = MinimalClient(url, mode="lockstep", seed=1)
        await client.__aenter__()
        token = client.welcome["session"]
        await client.frame()
        for step in range(1, 13):
            await client.act(step % 4)
            assert (await client.frame())["step"] == step
            client.socket.transport.abort()
            await asyncio.sleep(0.3)
            client = await resumed(url, token)
        await client.__aexit__()

    asyncio.run(asyncio.wait_for(act(), 100))


def test_a_new_version_sends_players_away_with_a_reason_and_they_resume(url: str, config: Config) -> None:
    one = replace(config, serve=replace(config.serve, replicas=1))
    deploy(bind(one))

    async def act() -> None:
        async with MinimalClient(url, mode="lockstep", seed=1) as client:
            await client.frame()
            await client.act(1)
            await client.frame()
            newer = bind(replace(one, serve=replace(one.serve, temperature=0.5)))
            deploying = asyncio.get_running_loop().run_in_executor(None, deploy, newer)
            assert await client.closed(50) == 4012
        again = await resumed(url, client.welcome["session"])
        await again.act(1)
        assert (await again.frame())["step"] == 2
        await again.__aexit__()
        await deploying

    asyncio.run(asyncio.wait_for(act(), 100))


def test_serve_files_build_the_same_application(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "RAYATARI_TOKEN", "from the cluster")
    application = build({"game": "breakout", "serve": {"bundles": list(config.serve.bundles), "sessions": 5}})
    (bound,) = application._bound_deployment.init_args
    assert bound.serve == ServeConfig(bundles=config.serve.bundles, sessions=5, token="from the cluster")
    assert application._bound_deployment.max_ongoing_requests == 26
