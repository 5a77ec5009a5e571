"""Settings of ``rayatari evaluate``."""

from dataclasses import dataclass, field

from rayatari.config.agent import AgentConfig
from rayatari.config.record import PlayerConfig


@dataclass(frozen=True)
class TuringConfig:
    """The classifier that tells real from neural clips (block 5)."""

    starts: int = 0
    """Places of held-out play from which clips are cut; 0 leaves the test out."""
    steps: int = 96
    """Steps played from each; every 16 of them are a clip."""
    train_steps: int = 300
    """Optimizer steps of each classifier; four are trained, two of them for the control."""
    batch: int = 16
    """Clips a step."""
    channels: int = 16
    """Channels of its first layer."""
    lr: float = 2e-3
    """Peak learning rate of AdamW."""


@dataclass(frozen=True)
class MarathonConfig:
    """Long games of a trained agent (block 4)."""

    games: int = 0
    """Games played side by side, neural and real; 0 leaves the block out."""
    steps: int = 10_000
    """Steps of each; a game that is over begins anew."""
    player: PlayerConfig = field(default_factory=lambda: PlayerConfig("agent", epsilon=0.01))
    """Who plays."""


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
    common_starts: int = 0
    """Rollouts of a decoder that is told the most common codes in every step; 0 leaves that baseline out."""
    ancestor: str = ""
    """Neural-game bundle of the ancestor's design (configs/ancestor.yaml), trained on the same data with
    the same budget, measured beside in blocks 1 and 2; empty leaves it out."""
    marathon: MarathonConfig = field(default_factory=MarathonConfig)
    """Long games (block 4)."""
    turing: TuringConfig = field(default_factory=TuringConfig)
    """Real or neural? (block 5)."""
    inside: AgentConfig = field(default_factory=lambda: AgentConfig(
        backend="local", steps=0, learning_starts=5_000, envs=16, replay_capacity=100_000, n_step=10,
        lr=2.5e-4, life_loss_ends=True, epsilon_end=0.05, epsilon_steps=50_000, target_update=2_000,
        threads=1, report_every=1_000, evaluation_episodes=30, evaluation_steps=4_500,
    ))  # fmt: skip
    """The agent that learns inside the neural game alone and is scored in the real one (block 6); 0 steps,
    as here, leave it out. Only the local backend can."""
    temperature: float = 1.0
    """Temperature at which the neural game samples its codes; 0 takes the most likely ones."""
    batch: int = 64
    """Single steps that are predicted at once."""
    code_steps: int = 256
    """Steps looked at for the page on the codes, inside.html; 0 leaves it out."""

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
        if min(self.common_starts, self.marathon.games, self.turing.starts, self.inside.steps) < 0:
            raise ValueError("common_starts, marathon.games, turing.starts and inside.steps are 0 or more")
        if self.marathon.games and self.marathon.steps < 1:
            raise ValueError("marathon.steps must be at least 1")
        if self.turing.starts and self.turing.steps < 16:
            raise ValueError("turing.steps must be at least the 16 of one clip")
        if self.temperature < 0 or self.code_steps < 0:
            raise ValueError("temperature and code_steps must be 0 or more")
