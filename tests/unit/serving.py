"""Small games to serve, and a way to play on them without sockets."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path

import torch
from game_bundle import write_game

from rayatari.agent.network import QNetwork, QNetworkConfig
from rayatari.agent.policy import KIND, Policy, PolicyModel, half_precision, model_record, save_policy
from rayatari.checkpoint import new_card
from rayatari.config.schema import Config
from rayatari.config.serve import ServeConfig
from rayatari.games.specs import SPECS
from rayatari.protocol import (
    ClientType,
    FrameMessage,
    Hello,
    pack_client,
    unpack_server,
)
from rayatari.serve.arcade import Arcade
from rayatari.serve.hub import Hub, NoStore
from rayatari.serve.seat import Seat

SHAPE = (210, 160)


def served_config(folder: Path) -> Config:
    """Two small games, one with an agent, in bundles under ``folder``."""
    torch.manual_seed(0)
    model = PolicyModel(QNetworkConfig(4, (4, 8, 8), 16), SPECS["breakout"].action_names, 4, 1234)
    policy = Policy(model, half_precision(QNetwork(model.network).state_dict()))
    save_policy(folder / "agent", policy, new_card(KIND, Config(), model=model_record(model)))
    bundles = (str(write_game(folder / "breakout")), str(write_game(folder / "pong", "pong")))
    return replace(Config(), serve=ServeConfig(bundles=bundles, agents=(str(folder / "agent"),), threads=1))


def in_hub(
    arcade: Arcade, config: ServeConfig, act: Callable[[Hub], Coroutine[object, object, None]]
) -> None:
    async def play() -> None:
        hub = Hub(arcade, config, NoStore())
        hub.start()
        await asyncio.wait_for(act(hub), 60)

    asyncio.run(play())


async def enter(hub: Hub, **hello: object) -> Seat:
    seat, _ = await hub.open(Hello(**hello))
    hub.batcher.join(seat)
    return seat


async def frame(seat: Seat) -> FrameMessage:
    while not isinstance(message := seat.take(), bytes):
        assert seat.ending is None, seat.ending
        await asyncio.sleep(0.002)
    got = unpack_server(message, SHAPE)
    assert isinstance(got, FrameMessage)
    return got


def say(seat: Seat, kind: ClientType, number: int, value: float = 0) -> None:
    seat.hear(pack_client(kind, number, value))
