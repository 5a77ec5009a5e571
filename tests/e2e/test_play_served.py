"""The desktop client on a real server: Ray Serve, a neural game, a real window off screen."""

import io
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
import pygame
import pytest
from paddle_game import CONFIG, PADDLE, PLACES, RED, SPEC
from PIL import Image

from rayatari.cli import main
from rayatari.clients.window import Scene, Window
from rayatari.config.runtime import RayConfig
from rayatari.config.serve import ServeConfig
from rayatari.dataset.info import read_info
from rayatari.games.palette import from_rgb
from rayatari.serve.local import LocalServer, start_server

pytestmark = [pytest.mark.e2e, pytest.mark.ray]

Act = tuple[Callable[[], bool], Callable[[], object]]


@pytest.fixture(scope="module")
def server(paddle_bundle: Path) -> Iterator[LocalServer]:
    serve = ServeConfig(bundles=(str(paddle_bundle),), threads=1)
    with start_server(replace(CONFIG, serve=serve, ray=RayConfig(num_cpus=2, object_store_mb=100))) as server:
        yield server


@pytest.fixture(autouse=True)
def off_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


def play(monkeypatch: pytest.MonkeyPatch, words: list[object], acts: list[Act]) -> tuple[int, str, str]:
    """Play in this process; each act is done when its condition is met, and then the window is closed."""
    deadline = time.monotonic() + 120
    events = Window.events

    def scripted(self: Window) -> "list[pygame.event.Event]":
        while acts and acts[0][0]():
            acts.pop(0)[1]()
        if not acts or time.monotonic() > deadline:
            pygame.event.post(pygame.event.Event(pygame.QUIT))
        return events(self)

    monkeypatch.setattr(Window, "events", scripted)
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(["play", *(str(word) for word in words)])
    assert not acts, f"{len(acts)} acts were never due: {out.getvalue()} {err.getvalue()}"
    return code, out.getvalue(), err.getvalue()


def press(name: str, pressed: bool = True) -> Callable[[], object]:
    values = {"key": getattr(pygame, f"K_{name}"), "scancode": getattr(pygame, f"KSCAN_{name.upper()}")}
    kind = pygame.KEYDOWN if pressed else pygame.KEYUP
    return lambda: pygame.event.post(pygame.event.Event(kind, mod=0, unicode="", **values))


def panel(number: int = 0) -> np.ndarray:
    """A panel of the window, which shows it at its own size: palette bytes, uint8 (210, 160)."""
    shot = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
    line = (len(shot) - 210) // 2
    left = 8 + number * 168
    return from_rgb(shot[line : line + 210, left : left + 160], SPEC.palette)


def paddle_at(place: str, number: int = 0) -> Callable[[], bool]:
    """Whether a panel shows the paddle where that action puts it."""

    def shown() -> bool:
        columns = np.flatnonzero((panel(number)[PADDLE, 8:152] == RED).all(axis=0)) + 8
        return len(columns) > 8 and abs(int(columns[0]) - PLACES[place]) <= 2

    return shown


def test_keys_move_the_paddle_of_the_served_game(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    acts: list[Act] = [
        (paddle_at("NOOP"), press("LEFT")),
        (paddle_at("LEFT"), press("LEFT", pressed=False)),
        (paddle_at("NOOP"), press("RIGHT")),
        (paddle_at("RIGHT"), press("RIGHT", pressed=False)),
    ]
    words = [f"url={server.url}", "scale=1", f"record={tmp_path / 'mine.gif'}"]
    code, _, err = play(monkeypatch, words, acts)
    assert (code, err) == (0, "")
    info = read_info(str(tmp_path / "mine"))
    assert info.policies == {"human in neural game": info.transitions}
    with Image.open(tmp_path / "mine.gif") as film:
        seen = set()
        for number in range(film.n_frames):
            film.seek(number)
            frame = from_rgb(np.asarray(film.convert("RGB"))[::2, ::2], SPEC.palette)
            seen.add(int(np.flatnonzero((frame[PADDLE, 8:152] == RED).all(axis=0))[0]) + 8)
    assert {min(seen), max(seen)} == {PLACES["LEFT"], PLACES["RIGHT"]}


def test_both_games_side_by_side_obey_the_same_keys(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first: list[np.ndarray] = []
    acts: list[Act] = [
        (paddle_at("NOOP", 1), lambda: first.append(panel(0))),
        (lambda: True, press("LEFT")),
        (paddle_at("LEFT", 1), lambda: None),
        (lambda: (panel(0) != first[0]).sum() > 60, press("LEFT", pressed=False)),
    ]
    words = [f"url={server.url}", "split=true", "scale=1", f"record={tmp_path / 'both.gif'}"]
    code, _, err = play(monkeypatch, words, acts)
    assert (code, err) == (0, "")
    info = read_info(str(tmp_path / "both"))
    assert info.policies == {"human": info.transitions}  # the emulator's side is what is kept
    with Image.open(tmp_path / "both.gif") as film:
        assert film.size == (3 * 320 + 2 * 8, 420 + 28)


def test_a_player_without_a_window_plays_the_served_game(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ["agent=true", "pilot=random", "headless=true", "steps=40", f"url={server.url}"]
    assert play(monkeypatch, [*words, f"record={tmp_path / 'mine'}"], [])[0] == 0
    assert read_info(str(tmp_path / "mine")).policies == {"random in neural game": 40}


def replicas(root: int) -> list[int]:
    """Process ids of the server's replicas among the descendants of ``root``."""
    parents: dict[int, list[int]] = {}
    names: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            names[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(folder.name))
    found, todo = [], [root]
    while todo:
        process = todo.pop()
        todo += parents.get(process, [])
        if names.get(process, "").startswith("ray::ServeReplica"):
            found.append(process)
    return found


def test_a_killed_replica_interrupts_the_game_and_it_goes_on(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begun, killed = time.monotonic(), [float("inf")]
    messages: set[str] = set()
    draw = Window.draw

    def listen(self: Window, scene: Scene) -> None:
        messages.add(scene.message)
        draw(self, scene)

    def kill() -> None:
        (replica,) = replicas(server.process.pid)
        os.kill(replica, signal.SIGKILL)
        killed[0] = time.monotonic()

    monkeypatch.setattr(Window, "draw", listen)
    acts: list[Act] = [
        (paddle_at("NOOP"), press("LEFT")),
        (lambda: time.monotonic() - begun > 5.0 and paddle_at("LEFT")(), kill),  # snapshots take a second
        (lambda: time.monotonic() - killed[0] > 1.0, press("LEFT", pressed=False)),
        (paddle_at("NOOP"), press("RIGHT")),
        (paddle_at("RIGHT"), press("RIGHT", pressed=False)),
    ]
    words = [f"url={server.url}", "scale=1", f"record={tmp_path / 'mine'}"]
    code, out, err = play(monkeypatch, words, acts)
    assert (code, err) == (0, "")
    assert "of 1 games" in out  # resumed, not begun anew
    assert any("connection lost" in message for message in messages)
    assert main(["record", f"describe={tmp_path / 'mine'}"]) == 0


def test_a_local_server_is_started_and_stopped_again(
    paddle_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[LocalServer] = []

    def start(*args: object, **settings: object) -> LocalServer:
        started.append(start_server(*args, **settings))
        return started[0]

    monkeypatch.setattr("rayatari.play.server.start_server", start)
    words = ["agent=true", "pilot=random", "headless=true", "steps=20", f"serve.bundles=[{paddle_bundle}]"]
    code, out, err = play(monkeypatch, [*words, "serve.threads=1", "ray.num_cpus=1"], [])
    assert code == 0 and "20 steps" in out and "starting a server" in err
    assert started[0].process.poll() is not None


def test_a_server_without_weights_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = ["game=qbert", f"runs={tmp_path}", "agent=true", "pilot=random", "headless=true", "steps=2"]
    code, _, err = play(monkeypatch, words, [])
    assert code == 2
    line = err.splitlines()[-1]
    assert line.startswith("rayatari: error: ") and "rayatari pipeline" in line
