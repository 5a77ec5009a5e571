"""Readers against the console's memory on real play, quantity by quantity."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from rayatari.agent.players import ErringPlayer, Player, make_player
from rayatari.config.record import PlayerConfig
from rayatari.config.runtime import EmulatorConfig
from rayatari.games.emulator import Emulator
from rayatari.games.interface import Frame
from rayatari.games.memory import CHECKS, Memory
from rayatari.games.readers import get_reader
from rayatari.games.spec import GameSpec
from rayatari.paths import SHIPPED
from rayatari.seeding import EVALUATION_SEED

HOLD = 4
"""Emulator frames that a player holds each action for."""


@dataclass
class Agreement:
    """How often a reader agreed with memory."""

    frames: int = 0
    right: dict[str, int] = field(default_factory=dict)
    """Frames by quantity."""
    first_wrong: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Seed and emulator frame of the first disagreement, by quantity."""

    def shares(self) -> dict[str, float]:
        """Share of the frames by quantity."""
        return {name: right / self.frames for name, right in self.right.items()}


def players_of(game: str) -> list[PlayerConfig]:
    """Who shows what a reader must be able to read: early and late game, and nonsense."""
    agent = f"policy:{SHIPPED / 'agents' / game}"
    good = "intercept" if game == "breakout" else agent
    return [
        PlayerConfig(good, share=0.6, epsilon=0.005, hold=3),
        PlayerConfig(agent, share=0.25, epsilon=0.1, hold=6),
        PlayerConfig("random", share=0.15, epsilon=1.0, hold=12),
    ]


def check_reader(
    spec: GameSpec,
    frames: int,
    every: int = 3,
    players: Sequence[PlayerConfig] | None = None,
    advance: Callable[[int], object] = lambda frames: None,
) -> Agreement:
    """Read every ``every``-th emulator frame of real play until ``frames`` are read."""
    reader, check, found = get_reader(spec.name), CHECKS[spec.name], Agreement()
    assert reader is not None
    emulator = Emulator(spec, EmulatorConfig(frame_skip=1, max_steps=108_000))
    entries = players or players_of(spec.name)
    total, done = sum(entry.share for entry in entries), 0
    for number, entry in enumerate(entries):
        player = ErringPlayer(make_player(entry.player, spec), entry, spec, entry.player)
        seed = EVALUATION_SEED + 1000 * number
        until = frames if entry is entries[-1] else done + round(frames * entry.share / total)
        while done < until:
            for at, frame, ram, before in _episode(emulator, player, seed):
                if at % every == 0:
                    reading = reader.read(frame)
                    for name, right in check(reading, ram, before).items():
                        found.right[name] = found.right.get(name, 0) + right
                        if not right:
                            found.first_wrong.setdefault(name, (seed, at))
                    done += 1
                    advance(1)
                if done == until:
                    break
            seed += 1
    found.frames = done
    return found


def _episode(emulator: Emulator, player: Player, seed: int) -> Iterator[tuple[int, Frame, Memory, Memory]]:
    """Frame number, frame, memory after it and memory before it, of one episode."""
    frame = emulator.reset(seed)
    player.reset(seed)
    ram, over, at = emulator.ram, False, 0
    while not over:
        action = player.act(frame)
        for _ in range(HOLD):
            before = ram
            step = emulator.step(action)
            frame, ram, at = step.frame, emulator.ram, at + 1
            yield at, frame, ram, before
            over = step.terminated or step.truncated
            if over:
                break
