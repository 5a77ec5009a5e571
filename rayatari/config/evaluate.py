"""Settings of ``rayatari evaluate``."""

from dataclasses import dataclass

from rayatari.config.record import PlayerConfig


@dataclass(frozen=True)
class EvaluateConfig:
    """What the neural game is measured on, and how long."""

    weights: str = ""
    """Neural-game bundle to evaluate; empty is the run's own."""
    players: tuple[PlayerConfig, ...] = (
        PlayerConfig("agent", share=0.4, epsilon=0.01),
        PlayerConfig("agent", share=0.4, epsilon=0.1, hold=4),
        PlayerConfig("random", share=0.2),
    )
    """Who plays the held-out episodes and, in closed loop, the neural game; written as in record.players.
    The shares divide the predictions among them. Give each some chance of its own (epsilon): in a game
    without chance a player that never errs repeats what training may have seen."""
    episodes: int = 6
    """Held-out episodes of each player."""
    episode_steps: int = 1200
    """Steps after which a held-out episode is cut; at least as many as the longest horizon."""
    pairs: int = 1024
    """Single steps predicted from real history (block 1)."""
    horizons: tuple[int, ...] = (1, 5, 15, 60, 300)
    """Steps after which open loop is tabulated (blocks 2 and 3); the last one is how long it is played."""
    starts: int = 128
    """Rollouts in open loop up to the largest horizon that is at most 15."""
    long_starts: int = 32
    """Rollouts in open loop up to the largest horizon."""
    closed_games: int = 4
    """Games in closed loop that each player plays in the neural game."""
    closed_steps: int = 1000
    """Steps after which a game in closed loop is cut."""
    temperature: float = 1.0
    """Temperature at which the neural game samples its codes; 0 takes the most likely ones."""
    batch: int = 64
    """Single steps that are predicted at once."""

    def __post_init__(self) -> None:
        counts = (
            self.episodes, self.episode_steps, self.pairs, self.starts, self.long_starts,
            self.closed_games, self.closed_steps, self.batch,
        )  # fmt: skip
        if min(counts) < 1:
            raise ValueError("episodes, steps, pairs, starts, games and batch must be at least 1")
        if not self.players or self.episodes * len(self.players) < 2:
            raise ValueError("at least 2 held-out episodes are needed: raise episodes or name more players")
        if not self.horizons or sorted(set(self.horizons)) != list(self.horizons) or self.horizons[0] < 1:
            raise ValueError("horizons must be ascending numbers of steps from 1 on, such as [1, 5, 15]")
        if self.episode_steps < self.horizons[-1]:
            raise ValueError("episode_steps must be at least the last of horizons")
        if self.closed_games > self.episodes:
            raise ValueError("closed_games must be at most episodes, whose openings they take")
        if self.temperature < 0:
            raise ValueError("temperature must be 0 or more")
