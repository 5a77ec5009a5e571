"""The rules of the server: what ends a connection, who may connect, what cannot be served."""

import asyncio
import socket
import threading
import time
from dataclasses import replace

import pytest
from serving import enter, frame, in_hub, say, served_config

from rayatari.cli import main
from rayatari.config.schema import Config
from rayatari.config.serve import ServeConfig
from rayatari.errors import UserError
from rayatari.protocol import (
    ClientType,
    Close,
    Hello,
    pack_client,
)
from rayatari.serve.arcade import Arcade, open_arcade
from rayatari.serve.hub import Hub, RefusalError
from rayatari.serve.local import claim_port, free_port, wait_until_healthy
from rayatari.serve.origin import may_connect
from rayatari.serve.run import choose_ingress


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return served_config(tmp_path_factory.mktemp("serve"))


@pytest.fixture(scope="module")
def arcade(config: Config) -> Arcade:
    return open_arcade(config)


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (["text"], Close.BAD_MESSAGE),
        ([b""], Close.BAD_MESSAGE),
        ([b"\x09" + bytes(4)], Close.BAD_MESSAGE),
        ([pack_client(ClientType.ACTION, 1, 4)], Close.BAD_MESSAGE),
        ([bytes(5000)], Close.TOO_LARGE),
        ([pack_client(ClientType.PING, 1)] * 2100, Close.RATE),
        ([pack_client(ClientType.RESET, 1, 1)] * 70, Close.RATE),
    ],
)
def test_what_breaks_the_rules_ends_the_connection(
    arcade: Arcade, config: Config, messages: list[bytes | str], code: Close
) -> None:
    async def act(hub: Hub) -> None:
        seat = await enter(hub, seed=1)
        for message in messages:
            seat.hear(message)
            if seat.take() is None and seat.ending:
                break
        assert seat.ending is not None
        assert seat.ending.code == code

    in_hub(arcade, config.serve, act)


def test_a_silent_client_is_idle(arcade: Arcade, config: Config) -> None:
    async def act(hub: Hub) -> None:
        seat = await enter(hub, seed=1)
        seat.check(time.monotonic() + 59)
        assert seat.ending is None
        seat.check(time.monotonic() + 61)
        assert seat.ending is not None
        assert seat.ending.code == Close.IDLE

    in_hub(arcade, config.serve, act)


@pytest.mark.parametrize(
    ("hello", "code"),
    [
        ({"game": "qbert", "token": "secret"}, Close.UNKNOWN_GAME),
        ({"resume": "0" * 32, "token": "secret"}, Close.UNKNOWN_SESSION),
        ({"resume": "../etc", "token": "secret"}, Close.UNKNOWN_SESSION),
        ({}, Close.UNAUTHORIZED),
        ({"token": "sécret"}, Close.UNAUTHORIZED),
    ],
)
def test_who_is_refused_at_hello(arcade: Arcade, config: Config, hello: dict, code: Close) -> None:
    async def act(hub: Hub) -> None:
        with pytest.raises(RefusalError) as caught:
            await hub.open(Hello(**hello))
        assert caught.value.message.code == code

    in_hub(arcade, replace(config.serve, token="secret"), act)


def test_a_full_server_says_so(arcade: Arcade, config: Config) -> None:
    async def act(hub: Hub) -> None:
        await enter(hub)
        with pytest.raises(RefusalError) as caught:
            await enter(hub)
        assert caught.value.message.code == Close.BUSY

    in_hub(arcade, replace(config.serve, sessions=1), act)


def test_a_fault_of_the_model_ends_connections_but_not_the_server(config: Config) -> None:
    broken = open_arcade(config)

    async def act(hub: Hub) -> None:
        seat = await enter(hub, mode="lockstep", seed=1)
        await frame(seat)
        history, seat.session.loose = seat.session.loose, None
        assert history is not None
        seat.session.loose = type(history)(history.past_THW[:1], history.noise)
        say(seat, ClientType.ACTION, 1, 1)
        while seat.ending is None:
            await asyncio.sleep(0.01)
        assert seat.ending.code == Close.FAULT
        assert hub.healthy
        await frame(await enter(hub, mode="lockstep"))

    in_hub(broken, config.serve, act)


@pytest.mark.parametrize(
    ("origin", "host", "token", "let_in"),
    [
        (None, "127.0.0.1:8000", "", True),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", "", True),
        ("http://localhost:8000", "localhost:8000", "", True),
        ("http://[::1]:8000", "[::1]:8000", "", True),
        ("http://evil.example", "127.0.0.1:8000", "", False),
        ("http://localhost:9000", "localhost:8000", "", False),
        ("http://evil.example:8000", "evil.example:8000", "", False),  # its name points to this machine
        ("null", "127.0.0.1:8000", "", False),
        ("https://play.example.org", "10.0.0.1:8000", "", True),  # on the list
        ("http://game.lan:8000", "game.lan:8000", "secret", True),
        ("https://game.lan", "game.lan", "secret", True),
        ("https://game.lan", "game.lan:443", "secret", True),
        ("http://evil.example", "game.lan:8000", "secret", False),
    ],
)
def test_which_pages_may_connect(origin: str | None, host: str, token: str, let_in: bool) -> None:
    config = ServeConfig(token=token, origins=("https://play.example.org",))
    assert may_connect(origin, host, config) is let_in


def test_ingress_is_direct_for_one_replica() -> None:
    assert choose_ingress(ServeConfig()) == "direct"
    assert choose_ingress(ServeConfig(replicas=2)) == "proxy"
    assert choose_ingress(ServeConfig(ingress="proxy")) == "proxy"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["game=qbert", "runs=/nonexistent"], "neural-game artifact not found"),
        (["bundles=[/nonexistent]"], "neural-game artifact not found"),
        (["game=brekout"], "did you mean breakout"),
        (["BUNDLE", "host=0.0.0.0"], "token"),
        (["BUNDLE", "port=PORT"], "choose another port"),
        (["BUNDLE", "port=0"], "port must be"),
        (["BUNDLE", "agents=[/nonexistent]"], "policy artifact not found"),
        (["BUNDLE", "ingress=direct", "replicas=2"], "one replica"),
        (["BUNDLE", "window=1"], "window"),
    ],
)
def test_what_cannot_be_served_is_one_line_and_exit_code_2(
    words: list[str], message: str, config: Config, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("RAYATARI_TOKEN", raising=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        bundle = f"bundles=[{config.serve.bundles[0]}]"
        words = [word.replace("BUNDLE", bundle).replace("PORT", port) for word in words]
        assert main(["serve", *words]) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert len(shown.strip().splitlines()) == 1


def test_a_port_is_none_that_kernels_or_ray_deal_out() -> None:
    assert all(20_000 <= free_port() < 32_768 for _ in range(20))


def test_a_server_of_another_protocol_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            client, _ = other.accept()
            with client:
                client.recv(1000)
                client.sendall(b"\x00\x00\x1e\x04\r\n")  # as a gRPC server greets

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with pytest.raises(UserError, match="no server answers"):
            wait_until_healthy(f"http://127.0.0.1:{other.getsockname()[1]}", timeout=0.05)
        thread.join(5)


def test_two_servers_that_start_together_get_different_ports() -> None:
    first, held = claim_port()
    with held:
        second, other = claim_port(first)
        other.close()
    again, claim = claim_port(first)
    claim.close()
    assert second != first and again == first
