"""A match on a server: every step counted over real sockets, whatever happens to the connection."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from counting_server import IDLE_SECONDS, CountingServer
from websockets.sync.server import serve

from rayatari.agent.players import RandomPlayer
from rayatari.clients.connection import websocket_url
from rayatari.clients.match import Match
from rayatari.clients.remote import RemoteSide
from rayatari.clients.side import EmulatorSide
from rayatari.errors import UserError
from rayatari.games.counting import CountingGame, read, reward_of
from rayatari.games.interface import Frame, Step

PERIOD = 1 / 15


@dataclass
class Ledger:
    """Checks every transition by what its frames say of themselves."""

    episodes: list[list[int]] = field(default_factory=list)
    players: set[str] = field(default_factory=set)
    frame: Frame | None = None

    def opening(self, frame: Frame, lives: int, seed: int) -> None:
        assert read(frame).seed == seed
        self.frame = frame
        self.episodes.append([])

    def step(self, action: int, step: Step, player: str) -> None:
        assert self.frame is not None
        before, after = read(self.frame), read(step.frame)
        assert (after.seed, after.step, after.action) == (before.seed, before.step + 1, action)
        assert step.reward == reward_of(before.seed, before.step, action)
        self.frame = step.frame
        self.episodes[-1].append(action)
        self.players.add(player)

    def picture(self, panels: object) -> None:
        pass


def match_on(server: CountingServer, ledger: Ledger | None = None, **settings: object) -> Match:
    side = RemoteSide(server.url, "breakout")
    return Match([side], lambda episode: 7 + episode, 1.0, lambda: RandomPlayer(4), ledger, **settings)


def until(match: Match, met: Callable[[], bool], act: bool = True, seconds: float = 20) -> None:
    """Play on until ``met``, with actions that repeat every four steps."""
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "nothing came of it"
        if act and match.ready_for_action(PERIOD):
            match.act(len(match.boards[0].sent) % 4)
        if not match.collect():
            time.sleep(0.001)


def test_every_action_gives_its_frame_and_its_points() -> None:
    ledger = Ledger()
    with CountingServer() as server:
        match = match_on(server, ledger)
        match.begin()
        until(match, lambda: match.total == 50)
        assert match.boards[0].score == sum(reward_of(7, step, step % 4) for step in range(50))
        assert server.hellos[0]["mode"] == "lockstep"
        match.close()
    assert ledger.episodes == [[step % 4 for step in range(50)]]
    assert ledger.players == {"human"}


def test_the_server_hears_how_far_the_client_has_read() -> None:
    with CountingServer() as server:
        match = match_on(server)
        match.begin()
        until(match, lambda: match.total == 40)
        match.close()
    assert len(server.seen) >= 4
    assert all(1 <= later - sooner <= 8 for sooner, later in zip(server.seen, server.seen[1:], strict=False))


def test_a_distant_server_gets_actions_ahead_of_its_pictures() -> None:
    with CountingServer(delay=0.15) as server:
        match = match_on(server)
        match.begin()
        until(match, lambda: match.total == 3)
        until(match, lambda: len(match.boards[0].sent) - match.boards[0].steps >= 3)
        match.close()


def test_a_game_over_leads_to_the_next_episode() -> None:
    ledger = Ledger()
    with CountingServer(length=12) as server:
        match = match_on(server, ledger)
        match.begin()
        until(match, lambda: match.over)
        match.begin()
        until(match, lambda: match.over and match.started)
        match.close()
    assert [len(actions) for actions in ledger.episodes] == [12, 12]
    assert (match.total, match.episodes) == (24, 2)


@pytest.mark.parametrize("close", [None, 1012, 4012, 4013])
def test_a_lost_connection_is_made_again_and_no_step_is_lost(close: int | None) -> None:
    ledger = Ledger()
    with CountingServer() as server:
        match = match_on(server, ledger)
        match.begin()
        until(match, lambda: match.total == 10)
        server.drop(close)
        until(match, lambda: match.total == 30)
        assert server.hellos[1]["resume"] == "session-1"
        assert match.boards[0].score == sum(reward_of(7, step, step % 4) for step in range(30))
        match.close()
    assert ledger.episodes == [[step % 4 for step in range(30)]]


def test_a_server_that_went_back_in_time_is_played_forward_again() -> None:
    ledger = Ledger()
    with CountingServer() as server:
        match = match_on(server, ledger)
        match.begin()
        until(match, lambda: match.total == 20)
        server.drop(lose_steps=9)
        until(match, lambda: match.total == 40)
        assert server.sessions["session-1"].actions[:40] == [step % 4 for step in range(40)]
        assert match.boards[0].score == sum(reward_of(7, step, step % 4) for step in range(40))
        match.close()
    assert ledger.episodes == [[step % 4 for step in range(40)]]


def test_steps_whose_pictures_were_lost_are_cut_out_of_the_record() -> None:
    ledger = Ledger()
    with CountingServer(delay=0.15) as server:
        match = match_on(server, ledger)
        match.begin()
        until(match, lambda: match.total == 4)
        server.mute = True
        until(match, lambda: len(match.boards[0].sent) - match.boards[0].steps >= 3)
        sent = len(match.boards[0].sent)
        until(match, lambda: len(server.sessions["session-1"].actions) >= sent, act=False)
        lost = len(server.sessions["session-1"].actions) - match.boards[0].steps
        server.mute = False
        server.drop()
        until(match, lambda: match.boards[0].steps >= 12)
        total = match.boards[0].steps
        assert match.boards[0].score == sum(reward_of(7, step, step % 4) for step in range(total))
        match.close()
    first, second = ledger.episodes
    assert lost >= 3 and len(first) + lost + len(second) == total


def test_a_forgotten_session_begins_anew() -> None:
    ledger = Ledger()
    with CountingServer() as server:
        match = match_on(server, ledger)
        match.begin()
        until(match, lambda: match.total == 5)
        server.drop(forget=True)
        until(match, lambda: match.episodes == 2 and match.boards[0].steps == 5)
        match.close()
    assert [len(actions) for actions in ledger.episodes] == [5, 5]


def test_a_server_that_went_away_is_found_again() -> None:
    with CountingServer() as server:
        match = match_on(server)
        match.begin()
        until(match, lambda: match.total == 5)
        port = server.port
    until(match, lambda: "connection lost" in match.notice, act=False)
    assert not match.ready_for_action(PERIOD)
    with CountingServer(port=port):
        until(match, lambda: match.total == 15)
        assert match.notice == ""
        match.close()


def test_a_new_game_that_was_asked_for_while_the_line_was_down_begins() -> None:
    ledger = Ledger()
    with CountingServer() as server:
        match = match_on(server, ledger)
        match.begin()
        until(match, lambda: match.total == 5)
        server.drop()
        match.begin()
        until(match, lambda: match.total == 9)
        assert server.sessions["session-1"].seed == 8
        match.close()
    assert [len(actions) for actions in ledger.episodes] == [5, 4]


def test_a_paused_client_stays_connected() -> None:
    with CountingServer() as server:
        match = match_on(server)
        match.begin()
        until(match, lambda: match.total == 2)
        time.sleep(1.5 * IDLE_SECONDS)
        until(match, lambda: match.total == 4)
        match.close()
    assert len(server.hellos) == 1


def test_temperature_reaches_the_server_and_survives_a_reconnection() -> None:
    with CountingServer() as server:
        match = match_on(server)
        match.begin()
        match.set_temperature(0.25)
        until(match, lambda: match.total == 2)
        server.drop()
        until(match, lambda: match.total == 4)
        match.close()
    assert server.temperatures == [0.25, 0.25]


def test_the_servers_own_agent_takes_over_and_its_actions_are_recorded() -> None:
    ledger = Ledger()
    with CountingServer(agent="dqn-9") as server:
        match = match_on(server, ledger)
        match.begin()
        until(match, lambda: match.total == 2)
        match.hand_over(to_agent=True)
        assert match.player == "dqn-9"
        until(match, lambda: match.total == 6)
        match.hand_over(to_agent=False)
        until(match, lambda: match.total == 8)
        match.close()
    assert ledger.episodes == [[0, 1, 2, 2, 2, 2, 2, 3]]
    assert ledger.players == {"human", "dqn-9"}


def test_a_player_of_ones_own_is_preferred_when_it_was_chosen() -> None:
    with CountingServer(agent="dqn-9") as server:
        match = match_on(server, prefer_pilot=True)
        match.hand_over(to_agent=True)
        match.begin()
        until(match, lambda: match.total == 12)
        assert match.player == "random"
        assert len(match.boards[0].sent) - match.boards[0].steps <= 1
        match.close()


def test_two_sides_play_the_same_actions_and_show_their_difference() -> None:
    with CountingServer(length=20) as server:
        side = RemoteSide(server.url, "breakout")
        emulator = EmulatorSide(CountingGame(length=30))
        match = Match([emulator, side], lambda episode: 7, 1.0, lambda: RandomPlayer(4))
        match.begin()
        until(match, lambda: match.total == 10)
        real, neural = match.boards
        assert real.frame is not None and neural.frame is not None
        assert (real.frame == neural.frame).all()  # the same game here: it opened with the same seed too
        panels = match.panels()
        assert len(panels) == 3 and match.titles() == ["emulator", "neural game", "difference"]
        assert (panels[0] == panels[1]).all() and (panels[2] < 160).all()
        until(match, lambda: match.over)
        assert (real.steps, neural.steps) == (30, 20)  # the shorter game waits for the longer one
        match.close()


@pytest.mark.parametrize(
    ("code", "said"),
    [(4002, "speaks"), (4003, "token"), (4004, "no such game"), (4006, "all sessions are taken")],
)
def test_refusals_are_one_line_in_the_servers_words(code: int, said: str) -> None:
    with CountingServer(refusal=(code, said)) as server, pytest.raises(UserError, match=said):
        RemoteSide(server.url, "breakout")


def test_a_refusal_in_the_middle_ends_the_match_with_its_reason() -> None:
    with CountingServer() as server:
        match = match_on(server)
        match.begin()
        until(match, lambda: match.total == 2)
        server.drop(close=4009)
        with pytest.raises(UserError, match="another client"):
            until(match, lambda: False, act=False)
        match.close()


def test_a_server_that_breaks_the_protocol_ends_the_match_with_its_reason() -> None:
    with CountingServer() as server:
        match = match_on(server)
        match.begin()
        until(match, lambda: match.total == 2)
        server.babble()
        with pytest.raises(UserError, match="broke the protocol"):
            until(match, lambda: False, act=False)
        match.close()


def test_another_kind_of_server_is_not_mistaken_for_one_of_ours() -> None:
    with serve(lambda connection: [connection.send(word) for word in connection], "127.0.0.1", 0) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        with pytest.raises(UserError, match="does not speak"):
            RemoteSide(f"127.0.0.1:{other.socket.getsockname()[1]}", "breakout")
        other.shutdown()


def test_a_web_page_is_not_mistaken_for_a_server() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as page:
        threading.Thread(target=page.serve_forever, daemon=True).start()
        with pytest.raises(UserError, match=r"no (rayatari )?server"):
            RemoteSide(f"127.0.0.1:{page.server_port}", "breakout")
        page.shutdown()


def test_no_server_is_one_line_with_a_remedy() -> None:
    with CountingServer() as server:
        url = server.url
    with pytest.raises(UserError, match=r"no server to play on at .*rayatari serve"):
        RemoteSide(url, "breakout")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://localhost:8000", "ws://localhost:8000/play"),
        ("https://play.example.org/", "wss://play.example.org/play"),
        ("localhost:8000", "ws://localhost:8000/play"),
        ("ws://[::1]:9/games/play", "ws://[::1]:9/games/play"),
    ],
)
def test_addresses_are_understood(url: str, address: str) -> None:
    assert websocket_url(url) == address


@pytest.mark.parametrize("url", ["ftp://localhost", "http://", "localhost:port", "http://localhost:99999"])
def test_wrong_addresses_are_named(url: str) -> None:
    with pytest.raises(UserError, match="no address of a server"):
        websocket_url(url)
