"""``rayatari play``: a game in a window, neural or real, by hand or by an agent."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from rayatari.agent.interrupt import uninterrupted
from rayatari.clients.headless import play_headless
from rayatari.clients.match import Match
from rayatari.clients.remote import RemoteSide
from rayatari.clients.side import EmulatorSide, Side
from rayatari.config.schema import Config
from rayatari.errors import UserError
from rayatari.games.catalog import get_game
from rayatari.games.emulator import Emulator
from rayatari.games.spec import GameSpec
from rayatari.games.specs import SPECS
from rayatari.play.interrupt import interrupts_wait
from rayatari.play.pilot import make_pilot
from rayatari.play.recording import Recording, open_recording
from rayatari.play.server import local_server
from rayatari.play.session import Source
from rayatari.seeding import EVALUATION_SEED

_FRAMES_PER_SECOND = 60
_SEEDS_APART = 64
"""Seeds between two episodes: among them the emulator looks for an opening like the neural game's."""
_SESSIONS_APART = 1021
"""Episodes whose seeds a session of a dataset has to itself."""


def run(config: Config) -> None:
    """Play as ``config.play`` says until the window is closed, then finish what is recorded."""
    spec = get_game(config.game)
    with ExitStack() as stack:
        sides = _sides(config, spec, stack)
        period = _frame_skip(config, sides) / _FRAMES_PER_SECOND / config.play.speed
        recording = stack.enter_context(_recording(config, spec, sides, period))
        match = Match(
            sides,
            seed_of=_seeds(config, recording.sessions if recording else 0),
            temperature=config.play.temperature,
            make_pilot=lambda: make_pilot(config, spec),
            recorder=recording,
            prefer_pilot=config.play.pilot != "agent",
        )
        if config.play.agent:
            match.hand_over(to_agent=True)
        check = stack.enter_context(interrupts_wait())
        if config.play.headless:
            play_headless(match, config.play.steps, between=check)
        else:
            _play_in_window(config, spec, match, period, check)
        print(f"play: {match.total:,} steps of {match.episodes:,} games")


def _sides(config: Config, spec: GameSpec, stack: ExitStack) -> list[Side]:
    """The games to play: the emulator, the neural game, or both in this order."""
    sides: list[Side] = []
    if config.play.real or config.play.split:
        sides.append(EmulatorSide(Emulator(spec, config.emulator)))
    if not config.play.real:
        url = config.play.url or stack.enter_context(local_server(config))
        token = config.play.token or os.environ.get("RAYATARI_TOKEN", "")
        remote = RemoteSide(url, spec.name, token, config.play.temperature)
        stack.callback(remote.close)
        _check_same_game(remote, spec, config)
        sides.append(remote)
    return sides


def _check_same_game(remote: RemoteSide, spec: GameSpec, config: Config) -> None:
    welcome = remote.welcome
    if tuple(welcome.actions) != spec.action_names:
        raise UserError(
            f"{remote.url} plays {welcome.game} with the actions {' '.join(welcome.actions)}, not with "
            f"{' '.join(spec.action_names)}: choose another game, or the version of rayatari that it runs"
        )
    if config.play.split and welcome.frame_skip != config.emulator.frame_skip:
        raise UserError(
            f"the neural game steps by {welcome.frame_skip} frames, the emulator by "
            f"{config.emulator.frame_skip}: add emulator.frame_skip={welcome.frame_skip}"
        )


def _frame_skip(config: Config, sides: Sequence[Side]) -> int:
    neural = [side.welcome.frame_skip for side in sides if isinstance(side, RemoteSide)]
    return neural[0] if neural else config.emulator.frame_skip


@contextmanager
def _recording(
    config: Config, spec: GameSpec, sides: Sequence[Side], period: float
) -> Iterator[Recording | None]:
    """The recording that ``config`` asks for, finished whatever ends the session."""
    if not config.play.record:
        yield None
        return
    neural = isinstance(sides[0], RemoteSide)
    source = Source(
        game=spec.name,
        action_names=spec.action_names,
        palette=spec.palette if spec.name in SPECS else (),  # a derived spec names all the colours there are
        frame_skip=_frame_skip(config, sides),
        sticky=0.0 if neural else config.emulator.sticky,
        neural=neural,
    )
    titles = [*(side.name for side in sides), "difference"]
    recording = open_recording(config, source, titles, period)
    try:
        yield recording
    finally:
        with uninterrupted():
            print("\n".join(recording.close()))


def _play_in_window(
    config: Config, spec: GameSpec, match: Match, period: float, check: Callable[[], None]
) -> None:
    from rayatari.clients.app import WindowedGame
    from rayatari.clients.controls import Controls
    from rayatari.clients.window import Window

    panels = len(match.titles())
    window = Window(f"rayatari: {spec.title}", panels, config.play.scale, config.play.fullscreen)
    try:
        WindowedGame(match, window, Controls(spec), period, spec.title, config.play.steps, check).run()
    finally:
        window.close()


def _seeds(config: Config, sessions: int) -> Callable[[int], int]:
    """Seed of each episode of the session, below those that are kept for evaluation."""
    first = config.seed * 104_729 + sessions * _SESSIONS_APART * _SEEDS_APART
    return lambda episode: (first + episode * _SEEDS_APART) % (EVALUATION_SEED - _SEEDS_APART)
