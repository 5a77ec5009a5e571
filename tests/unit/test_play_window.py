"""The pygame window, real but off screen: keys are pressed, and the paddle moves in the picture."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

pygame = pytest.importorskip("pygame")

from rayatari.agent.players import FollowPlayer  # noqa: E402
from rayatari.clients.app import WindowedGame  # noqa: E402
from rayatari.clients.controls import Command, Controls  # noqa: E402
from rayatari.clients.match import Match, Pilot  # noqa: E402
from rayatari.clients.side import EmulatorSide  # noqa: E402
from rayatari.clients.window import Scene, Window  # noqa: E402
from rayatari.config.runtime import EmulatorConfig  # noqa: E402
from rayatari.errors import UserError  # noqa: E402
from rayatari.games.counting import COUNTING, CountingGame  # noqa: E402
from rayatari.games.emulator import Emulator  # noqa: E402
from rayatari.games.palette import from_rgb  # noqa: E402
from rayatari.games.picture import COLOURS  # noqa: E402
from rayatari.games.readers import get_reader  # noqa: E402
from rayatari.games.spec import GameSpec  # noqa: E402
from rayatari.games.specs import SPECS  # noqa: E402

BREAKOUT = SPECS["breakout"]
WAIT_LOOPS = 8
Act = tuple[int | str, Callable[[], object]]


@pytest.fixture(autouse=True)
def off_screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    yield
    pygame.quit()


def key(name: str, pressed: bool = True) -> "pygame.event.Event":
    kind = pygame.KEYDOWN if pressed else pygame.KEYUP
    code, place = getattr(pygame, f"K_{name}"), getattr(pygame, f"KSCAN_{name.upper()}")
    return pygame.event.Event(kind, key=code, scancode=place, mod=0, unicode="")


def no_pilot() -> Pilot:
    raise UserError("no trained agent here: train one")


@dataclass
class Script:
    """Posts events and looks at the window: at a number of steps, or so many loops after the act before."""

    window: Window
    match: Match
    acts: list[Act]
    loops: int = 0

    def __call__(self) -> "list[pygame.event.Event]":
        self.loops += 1
        while self.acts and self._is_due(self.acts[0][0]):
            self.loops = 0
            self.acts.pop(0)[1]()
        assert self.loops < 20_000, "nothing happens any more"
        return pygame.event.get()

    def _is_due(self, when: int | str) -> bool:
        return self.loops >= WAIT_LOOPS if isinstance(when, str) else self.match.total >= when


@dataclass
class Stage:
    """A game in a real window."""

    side: EmulatorSide = field(
        default_factory=lambda: EmulatorSide(Emulator(BREAKOUT, EmulatorConfig(noop_max=0)))
    )
    spec: GameSpec = BREAKOUT
    make_pilot: Callable[[], Pilot] = no_pilot
    period: float = 0.002
    game: WindowedGame = field(init=False)

    def play(self, *acts: Act, steps: int = 0) -> Match:
        match = Match([self.side], lambda episode: episode, 1.0, self.make_pilot)
        window = Window("test", 1, scale=2)
        window.events = Script(window, match, list(acts))  # type: ignore[method-assign]
        self.game = WindowedGame(match, window, Controls(self.spec), self.period, "Breakout", steps)
        self.game.run()
        return match


def press(name: str) -> Callable[[], object]:
    return lambda: pygame.event.post(key(name))


def release(name: str) -> Callable[[], object]:
    return lambda: pygame.event.post(key(name, pressed=False))


def end() -> object:
    return pygame.event.post(pygame.event.Event(pygame.QUIT))


def screenshot() -> np.ndarray:
    """The window's pixels, uint8 (height, width, 3)."""
    return pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1).copy()


def frame_on_screen() -> np.ndarray:
    """The game as the window shows it at twice its size: palette bytes, uint8 (210, 160)."""
    shot = screenshot()
    line = (len(shot) - 420) // 2
    large = shot[line : line + 420, 8 : 8 + 320]
    assert (large[::2] == large[1::2]).all() and (large[:, ::2] == large[:, 1::2]).all()
    return from_rgb(large[::2, ::2], BREAKOUT.palette)


def test_keys_move_the_paddle_in_the_picture() -> None:
    seen: dict[str, np.ndarray] = {}
    stage = Stage()

    def look(name: str) -> Callable[[], object]:
        return lambda: seen.update({name: frame_on_screen()})

    stage.play(
        (5, look("start")), (5, press("LEFT")), (14, look("left")), (14, release("LEFT")),
        (15, press("RIGHT")), (40, look("right")), (41, end),
    )  # fmt: skip
    start, left, right = (get_reader("breakout").read(seen[name]).paddle for name in seen)
    assert start is not None and left is not None and right is not None
    assert left < start - 10 and right > start + 10


def test_a_tap_between_two_steps_counts_and_holding_two_directions_does_not() -> None:
    controls = Controls(BREAKOUT)
    controls.handle(key("SPACE"))
    controls.handle(key("SPACE", pressed=False))
    assert [controls.action(), controls.action()] == [1, 0]
    controls.handle(key("LEFT"))
    assert [controls.action(), controls.action()] == [3, 3]
    controls.handle(key("RIGHT"))
    assert controls.action() == 0
    controls.handle(key("LEFT", pressed=False))
    assert controls.action() == 2
    controls.handle(pygame.event.Event(pygame.WINDOWFOCUSLOST))
    assert controls.action() == 0
    for name in ("LEFT", "RIGHT"):
        controls.handle(key(name))
        controls.handle(key(name, pressed=False))
    assert controls.action() == 2  # of two taps the later one


def test_keys_mean_what_the_game_says() -> None:
    controls = Controls(SPECS["pong"])
    controls.handle(key("UP"))
    assert SPECS["pong"].action_names[controls.action()] == "RIGHT"


def test_a_gamepad_plays_and_commands() -> None:
    controls = Controls(BREAKOUT)

    def pad(kind: int, **values: object) -> Command | None:
        return controls.handle(pygame.event.Event(kind, instance_id=0, **values))

    pad(pygame.JOYAXISMOTION, axis=0, value=-0.9)
    assert controls.action() == 3
    pad(pygame.JOYAXISMOTION, axis=0, value=0.1)
    assert controls.action() == 0
    pad(pygame.JOYHATMOTION, hat=0, value=(1, 0))
    assert controls.action() == 2
    pad(pygame.JOYHATMOTION, hat=0, value=(0, 0))
    pad(pygame.JOYBUTTONDOWN, button=0)
    pad(pygame.JOYBUTTONUP, button=0)
    assert [controls.action(), controls.action()] == [1, 0]
    assert pad(pygame.JOYBUTTONDOWN, button=7) is Command.PAUSE
    assert pad(pygame.JOYBUTTONDOWN, button=6) is Command.RESET


def test_pause_stops_the_game_and_single_steps_go_on() -> None:
    stage = Stage(EmulatorSide(CountingGame()), COUNTING)
    totals: list[int] = []

    def note() -> None:
        totals.append(stage.game.match.total)

    stage.play(
        (10, press("p")), ("wait", note), ("wait", note), ("wait", press("PERIOD")), ("wait", note),
        ("wait", press("PERIOD")), ("wait", note), ("wait", press("p")), (30, end),
    )  # fmt: skip
    paused = totals[0]
    assert 10 <= paused <= 12
    assert totals == [paused, paused, paused + 1, paused + 2]


def test_the_help_halts_the_game_and_covers_the_picture() -> None:
    stage = Stage(EmulatorSide(CountingGame()), COUNTING)
    shots: list[np.ndarray] = []
    totals: list[int] = []

    def note() -> None:
        shots.append(screenshot())
        totals.append(stage.game.match.total)

    stage.play((5, note), (5, press("h")), ("wait", note), ("wait", note), ("wait", press("h")), (20, end))
    assert totals[1] == totals[2]
    assert (shots[1] == shots[2]).all()
    accent = (shots[1] == (255, 196, 84)).all(axis=-1).sum()
    assert accent > 500 > (shots[0] == (255, 196, 84)).all(axis=-1).sum()


def test_reset_begins_another_game() -> None:
    stage = Stage(EmulatorSide(CountingGame()), COUNTING)
    match = stage.play((10, press("r")), (20, end))
    assert match.episodes == 2 and match.boards[0].seed == 1
    assert match.boards[0].steps < match.total


def test_a_pilot_takes_over_and_gives_back() -> None:
    stage = Stage(make_pilot=lambda: FollowPlayer(BREAKOUT))
    players: list[str] = []

    def note() -> None:
        players.append(stage.game.match.player)

    match = stage.play(
        (3, note), (3, press("t")), (10, note), (160, note), (160, press("t")), (170, note), (170, end)
    )
    assert players == ["human", "follow", "follow", "human"]
    assert match.boards[0].score > 0


def test_a_missing_pilot_is_said_in_the_window_and_the_game_goes_on() -> None:
    stage = Stage()
    said: list[str] = []
    match = stage.play((3, press("t")), ("wait", lambda: said.append(stage.game.scene(0.0).note)), (20, end))
    assert said == ["no trained agent here: train one"]
    assert match.player == "human" and match.total >= 20


def test_temperature_goes_up_and_down() -> None:
    stage = Stage(EmulatorSide(CountingGame()), COUNTING)
    seen: list[float] = []

    def note() -> None:
        seen.append(stage.game.match.temperature)

    stage.play(
        (2, press("EQUALS")), ("wait", note), ("wait", press("MINUS")), ("wait", press("MINUS")),
        ("wait", note), (4, end),
    )  # fmt: skip
    assert seen == [1.25, 0.75]


def test_a_game_over_is_shown_and_another_game_begins() -> None:
    stage = Stage(EmulatorSide(CountingGame(length=10)), COUNTING)
    said: list[str] = []
    match = stage.play((10, lambda: said.append(stage.game.scene(0.0).message)), steps=15)
    assert said[0].startswith("game over")
    assert match.episodes == 2


@pytest.mark.parametrize("size", [(120, 90), (330, 400), (640, 300), (1920, 1080), (3840, 2160)])
@pytest.mark.parametrize("count", [1, 3])
def test_every_window_shows_whole_pictures_at_a_whole_multiple(size: tuple[int, int], count: int) -> None:
    window = Window("test", count)
    pygame.display.set_mode(size, pygame.RESIZABLE)
    picture = np.full((210, 160), 7, np.uint8)
    window.draw(Scene([picture] * count, ["caption"] * count, "status", help=False))
    shown = (screenshot() == COLOURS[7]).all(axis=-1)
    columns, rows = shown.any(axis=0).sum(), shown.any(axis=1).sum()
    assert columns % count == 0
    wide, high = columns // count / 160, rows / 210
    assert abs(wide - high) < 0.02
    if wide >= 1:
        assert wide == high == int(wide)
        assert 160 * count * (wide + 1) > size[0] - 100 or 210 * (wide + 1) > size[1] - 130
    window.draw(Scene([picture], ["caption"], "status", help=True))
    window.toggle_fullscreen()
    window.toggle_fullscreen()


def test_messages_leave_nothing_out_however_long_they_are() -> None:
    window = Window("test", 1, scale=1)
    window.draw(Scene([], [], "", message="a server that does not answer " * 6))
    shot = screenshot()
    box = (shot == (255, 196, 84)).all(axis=-1)
    assert box.any(axis=0).sum() < shot.shape[1] and box.any(axis=1).sum() < shot.shape[0]


def test_without_a_screen_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "no such driver")
    with pytest.raises(UserError, match="headless=true"):
        Window("test", 1)
