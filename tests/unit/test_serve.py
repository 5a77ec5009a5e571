"""The server's parts without sockets: sessions, seats, batches, snapshots, who may connect."""

import asyncio
import time

import numpy as np
import pytest
import torch
from serving import SHAPE, enter, frame, in_hub, say, served_config

from rayatari.config.schema import Config
from rayatari.models.neural_game import LooseGame, NeuralGame
from rayatari.protocol import (
    ClientMessage,
    ClientType,
    Close,
    FrameFlags,
    FrameMessage,
    Hello,
    unpack_server,
)
from rayatari.serve.arcade import Arcade, open_arcade
from rayatari.serve.clock import Clock
from rayatari.serve.hub import Hub, RefusalError
from rayatari.serve.seat import Seat
from rayatari.serve.session import Kind, Session
from rayatari.serve.snapshot import load_session, save_session
from rayatari.serve.vault import Vault


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return served_config(tmp_path_factory.mktemp("serve"))


@pytest.fixture(scope="module")
def arcade(config: Config) -> Arcade:
    return open_arcade(config)


def test_a_lockstep_session_shows_what_the_bare_game_shows(arcade: Arcade, config: Config) -> None:
    actions = [1, 2, 2, 3, 0, 1]
    game = NeuralGame.load(config.serve.bundles[0])
    expected = [game.reset([7])[0], *(game.step([action]).frames[0] for action in actions)]

    async def act(hub: Hub) -> None:
        seat = await enter(hub, mode="lockstep", seed=7)
        first = await frame(seat)
        assert first.flags == FrameFlags.FIRST
        assert first.action == 255
        frames = [first]
        for number, action in enumerate(actions, 1):
            say(seat, ClientType.ACTION, number, action)
            frames.append(await frame(seat))
        assert [f.echo for f in frames] == [0, 1, 2, 3, 4, 5, 6]
        assert [f.sequence for f in frames] == [f.step for f in frames] == [0, 1, 2, 3, 4, 5, 6]
        for shown, true in zip(frames, expected, strict=True):
            assert (np.array(game.palette, np.uint8)[shown.frame] == true).all()

    in_hub(arcade, config.serve, act)


def test_sessions_of_several_games_and_temperatures_do_not_disturb_each_other(
    arcade: Arcade, config: Config
) -> None:
    hellos = [
        {"game": "breakout", "seed": 1, "temperature": 0.0},
        {"game": "pong", "seed": 1, "temperature": 1.0},
        {"game": "breakout", "seed": 2, "temperature": 2.0},
    ]

    async def course(seat: Seat) -> list[np.ndarray]:
        frames = [(await frame(seat)).frame]
        for number in range(1, 5):
            say(seat, ClientType.ACTION, number, number % 4)
            frames.append((await frame(seat)).frame)
        return frames

    async def act(hub: Hub) -> None:
        alone = [await course(await enter(hub, mode="lockstep", **hello)) for hello in hellos]
        seats = [await enter(hub, mode="lockstep", **hello) for hello in hellos]
        together = await asyncio.gather(*(course(seat) for seat in seats))
        for one, other in zip(alone, together, strict=True):
            assert np.mean([(a != b).mean() for a, b in zip(one, other, strict=True)]) < 1e-3

    in_hub(arcade, config.serve, act)


def test_realtime_keeps_its_pace_and_plays_the_latest_action(arcade: Arcade, config: Config) -> None:
    async def act(hub: Hub) -> None:
        seat = await enter(hub, fps=20, seed=1)
        await frame(seat)
        for number, action in enumerate((1, 3, 2), 1):
            say(seat, ClientType.ACTION, number, action)
        started = time.monotonic()
        frames = [await frame(seat) for _ in range(20)]
        assert all(f.action == 2 and f.echo == 3 for f in frames[1:])  # one may be under way already
        assert 0.8 < time.monotonic() - started < 5
        steps = [f.step for f in frames]
        assert steps == sorted(set(steps)) and steps[-1] <= 22  # a late reader gets the newest frame

    in_hub(arcade, config.serve, act)


def test_pause_single_step_reset_and_agent(arcade: Arcade, config: Config) -> None:
    async def act(hub: Hub) -> None:
        seat = await enter(hub, game="breakout", seed=1, fps=20)
        await frame(seat)
        say(seat, ClientType.PAUSE, 1, 1)
        while not (shown := await frame(seat)).flags & FrameFlags.PAUSED:
            pass
        await asyncio.sleep(0.1)
        assert seat.take() is None
        say(seat, ClientType.STEP, 2, 3)
        stepped = await frame(seat)
        assert (stepped.step, stepped.action, stepped.echo) == (shown.step + 1, 3, 2)
        say(seat, ClientType.RESET, 3, 9)
        begun = await frame(seat)
        assert (begun.step, begun.score, begun.action) == (0, 0, 255)
        assert begun.flags == FrameFlags.FIRST | FrameFlags.PAUSED
        assert seat.session.seed == 9
        say(seat, ClientType.AGENT, 4, 1)
        say(seat, ClientType.STEP, 5, 0)
        played = await frame(seat)
        assert played.flags & FrameFlags.AGENT
        assert played.action == await agents_choice(seat, config)
        say(seat, ClientType.PAUSE, 6, 0)
        assert (await frame(seat)).step == 2

    async def agents_choice(seat: Seat, config: Config) -> int:
        """What the policy makes of the start frames, which the session showed before its step."""
        from rayatari.agent.policy import load_policy
        from rayatari.games.agent_view import agent_view

        game = NeuralGame.load(config.serve.bundles[0])
        game.reset([9])
        past = game.model.world.codec.decode(game.scatter()[0].past_THW)
        return int(load_policy(config.serve.agents[0]).q_values(agent_view(past)[None])[0].argmax())

    in_hub(arcade, config.serve, act)


def test_a_finished_game_stands_still_until_it_is_reset() -> None:
    session = Session("breakout", 1, 1.0, realtime=False, terminated=True, fresh=False)
    session.loose = LooseGame(torch.empty(0), torch.Generator())
    session.tell(ClientMessage(ClientType.ACTION, 1, 2))
    turn = session.next_turn(False)
    assert turn is not None
    assert turn.kind is Kind.SHOW
    session.realtime = True
    assert session.next_turn(True) is None
    session.tell(ClientMessage(ClientType.RESET, 2, 5))
    turn = session.next_turn(True)
    assert turn is not None and turn.kind is Kind.BEGIN


def test_a_reader_that_does_not_keep_up_gets_the_newest_frames_only(arcade: Arcade, config: Config) -> None:
    async def act(hub: Hub) -> None:
        seat = await enter(hub, fps=60, seed=1)
        first = await frame(seat)
        await asyncio.sleep(0.5)
        newest = await frame(seat)
        assert newest.sequence > first.sequence + 5
        while seat.take() is not None or seat.session.sequence < newest.sequence + 40:
            await asyncio.sleep(0.01)
        assert seat.take() is None
        assert seat.stuck_since is not None
        say(seat, ClientType.SEEN, 1, seat.session.sequence)
        assert (await frame(seat)).sequence > newest.sequence + 32

    in_hub(arcade, config.serve, act)


def test_a_lockstep_player_who_sees_nothing_is_not_played_for(arcade: Arcade, config: Config) -> None:
    async def act(hub: Hub) -> None:
        seat = await enter(hub, mode="lockstep", seed=1)
        frames = [await frame(seat)]
        for number in range(1, 41):
            say(seat, ClientType.ACTION, number, 0)
        for _ in range(32):
            frames.append(await frame(seat))
        await asyncio.sleep(0.1)
        assert seat.take() is None
        say(seat, ClientType.SEEN, 50, frames[-1].sequence)
        frames += [await frame(seat) for _ in range(8)]
        assert [f.echo for f in frames] == list(range(41))
        seat.stuck_since = time.monotonic() - 60
        seat.check(time.monotonic())
        assert seat.ending is not None
        assert seat.ending.code == Close.SLOW_READER

    in_hub(arcade, config.serve, act)


def test_a_session_resumes_where_it_stood(arcade: Arcade, config: Config) -> None:
    async def act(hub: Hub) -> None:
        straight = await enter(hub, mode="lockstep", seed=3)
        broken = await enter(hub, mode="lockstep", seed=3)
        for seat in (straight, broken):
            await frame(seat)
            for number in (1, 2, 3):
                say(seat, ClientType.ACTION, number, number)
                await frame(seat)
        await hub.leave(broken, ended=False)
        resumed = await enter(hub, mode="lockstep", resume=broken.session.token)
        shown = await frame(resumed)
        assert (shown.step, shown.echo, shown.flags) == (3, 3, FrameFlags.FIRST)
        for number in (4, 5):
            say(straight, ClientType.ACTION, number, 1)
            say(resumed, ClientType.ACTION, number, 1)
            assert ((await frame(straight)).frame == (await frame(resumed)).frame).all()

    in_hub(arcade, config.serve, act)


def test_what_a_client_ended_cannot_be_resumed(arcade: Arcade, config: Config) -> None:
    async def act(hub: Hub) -> None:
        seat = await enter(hub, seed=3)
        await frame(seat)
        await hub.leave(seat, ended=True)
        with pytest.raises(RefusalError) as caught:
            await hub.open(Hello(resume=seat.session.token))
        assert caught.value.message.code == Close.UNKNOWN_SESSION

    in_hub(arcade, config.serve, act)


def test_resuming_a_session_that_is_connected_takes_it_over(arcade: Arcade, config: Config) -> None:
    async def act(hub: Hub) -> None:
        older = await enter(hub, seed=3, fps=30)
        await frame(older)
        newer = await enter(hub, resume=older.session.token, fps=30)
        assert older.ending is not None
        assert older.ending.code == Close.TAKEN_OVER
        before = newer.session.sequence
        while newer.session.sequence < before + 4:  # nothing is read meanwhile
            await asyncio.sleep(0.01)
        assert (await frame(newer)).flags & FrameFlags.FIRST
        await hub.leave(older, ended=True)  # changes nothing: the session is the newer connection's
        await frame(newer)
        assert list(hub.seats.values()) == [newer]

    in_hub(arcade, config.serve, act)


def test_snapshots_hold_all_of_a_session(arcade: Arcade, config: Config) -> None:
    async def act(hub: Hub) -> None:
        seat = await enter(hub, mode="lockstep", seed=5, temperature=0.5)
        await frame(seat)
        for number in (1, 2):
            say(seat, ClientType.ACTION, number, 1)
            await frame(seat)
        copy = load_session(save_session(seat.session))
        assert len(save_session(seat.session)) < 100_000
        seat.session.inbox.append(ClientMessage(ClientType.ACTION, 3, 2))
        copy.inbox.append(ClientMessage(ClientType.ACTION, 3, 2))
        copy.realtime, copy.fresh = False, False
        turns = [s.next_turn(False) for s in (seat.session, copy)]
        for turn in turns:
            assert turn is not None
            arcade.take([turn])
        first, second = (unpack_server(turn.message, SHAPE) for turn in turns if turn)
        assert isinstance(first, FrameMessage) and isinstance(second, FrameMessage)
        assert (first.frame == second.frame).all()
        assert copy.token == seat.session.token
        assert (copy.step, copy.sequence, copy.temperature) == (3, 3, 0.5)

    in_hub(arcade, config.serve, act)


def test_the_vault_gives_a_session_to_the_replica_that_claimed_it_last() -> None:
    vault = Vault(keep_s=60, most=2)
    assert vault.keep("a", {"x": b"1"}) == []
    assert vault.claim("b", "x") == b"1"
    assert vault.keep("a", {"x": b"2"}) == ["x"]
    assert vault.keep("b", {"x": b"3", "y": b"4", "z": b"5"}) == []
    assert [token for token in "xyz" if vault.claim("b", token)] != list("xyz")
    vault.forget("y")
    assert vault.claim("b", "y") is None


def test_clocks_of_one_rate_tick_together_and_do_not_catch_up() -> None:
    slow, fast = Clock(15, 100.003), Clock(30, 100.01)
    assert round(slow.next * 15) / 15 == pytest.approx(slow.next)
    assert (slow.next - fast.next) * 30 == pytest.approx(round((slow.next - fast.next) * 30))
    assert not slow.due(slow.next - 0.001)
    late = slow.next + 1
    assert slow.due(late)
    assert slow.due(late)  # one tick at once, then the usual pace
    assert not slow.due(late + 0.01)
