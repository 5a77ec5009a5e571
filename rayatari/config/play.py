"""Settings of ``rayatari play``."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PlayConfig:
    """What is played, by whom, and what is kept of it."""

    url: str = ""
    """Server to play on, such as ``http://localhost:8000``; empty starts one here for as long as you play."""
    token: str = ""
    """Access token of the server, where it asks for one; empty takes RAYATARI_TOKEN when that is set."""
    real: bool = False
    """Play the emulator instead of the neural game; needs no server."""
    split: bool = False
    """Play emulator and neural game side by side under the same keys, with their difference."""
    agent: bool = False
    """The player of ``pilot`` begins; T hands over between it and you."""
    pilot: str = "agent"
    """Who plays when you do not, written as in record.players: ``agent`` is the run's own best,
    or else the one that comes with the package."""
    record: str = ""
    """Keep the session: ``NAME.gif`` or ``NAME.mp4`` writes that film and the dataset ``NAME`` beside it,
    any other path only the dataset. Later sessions are added to the dataset."""
    steps: int = 0
    """Stop after this many steps; 0 plays until the window is closed."""
    headless: bool = False
    """No window, as fast as it goes: for machines without a screen; needs agent=true and steps."""
    temperature: float = 1.0
    """Temperature at which the neural game samples: 0 is the likeliest course, 1 as learned."""
    speed: float = 1.0
    """Share of the game's own speed, 15 steps a second at frame skip 4."""
    scale: int = 0
    """Screen pixels of one game pixel; 0 takes the largest that fits."""
    fullscreen: bool = False
    """Begin in full screen."""

    def __post_init__(self) -> None:
        if self.real and (self.url or self.split):
            raise ValueError("real=true plays the emulator alone: leave out url and split")
        if self.headless and not (self.agent and self.steps):
            raise ValueError("headless=true has no keys and no window to close: add agent=true steps=N")
        if self.steps < 0 or self.scale < 0 or self.temperature < 0 or not 0.01 <= self.speed <= 100:
            raise ValueError("steps, scale and temperature must be 0 or more, speed from 0.01 to 100")
