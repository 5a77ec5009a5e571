"""Settings of ``rayatari record``."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class PlayerConfig:
    """One player of the mix, and how it errs. Different errors show the world model different states."""

    player: str
    """``random``, ``noop``, ``follow`` (keeps the paddle under the ball), ``intercept`` (goes where the
    ball will land), ``agent`` (the run's own best, or that of the package until it is trained),
    ``agent:weak``, ``agent:middle`` or ``agent:step-N`` (of those that training kept; weak and middle by
    score), or ``policy:PATH``."""
    share: float = 1.0
    """Share of the transitions, relative to the other players' shares."""
    epsilon: float = 0.0
    """Probability in each step that a random action begins."""
    hold: int = 1
    """Longest run of steps for which it is held; the length is drawn from 1 to this."""
    idle: float = 0.0
    """Probability in each step that a phase of no-ops begins."""
    idle_steps: int = 45
    """Longest such phase in steps; the length is drawn from 1 to this."""

    def __post_init__(self) -> None:
        if not self.share > 0:
            raise ValueError("share must be above 0; leave the player out instead")
        if not (0 <= self.epsilon <= 1 and 0 <= self.idle <= 1):
            raise ValueError("epsilon and idle are probabilities from 0 to 1")
        if self.hold < 1 or self.idle_steps < 1:
            raise ValueError("hold and idle_steps are counts of at least 1")


@dataclass(frozen=True)
class RecordConfig:
    """Who plays, how much is written, and where."""

    backend: Literal["ray", "local"] = "ray"
    """``ray``: actors on the cluster. ``local``: processes of this machine, without Ray; the same dataset."""
    path: str = ""
    """Where the dataset goes: a folder or any pyarrow file system URI; empty is the run's own folder."""
    steps: int = 500_000
    """Transitions to record, exactly."""
    heldout: float = 0.05
    """Share of every player's transitions that goes into episodes held out from training."""
    players: tuple[PlayerConfig, ...] = (
        PlayerConfig("agent", share=0.2, epsilon=0.01, idle=0.002),
        PlayerConfig("agent", share=0.25, epsilon=0.1, hold=6, idle=0.005),
        PlayerConfig("agent:middle", share=0.2, epsilon=0.05, hold=6, idle=0.005),
        PlayerConfig("agent:weak", share=0.15, epsilon=0.2, hold=6),
        PlayerConfig("random", share=0.18, epsilon=1.0, hold=12),
        PlayerConfig("noop", share=0.02),
    )
    """Who plays. Each player's transitions are of its own episodes."""
    shard_steps: int = 20_000
    """Most transitions of one file: what an actor plays in one go and what a crash costs at most."""
    context: int = 16
    """Transitions that each chunk repeats from before its start; training windows of up to two frames
    more than this are cut without gaps."""
    workers: int = 0
    """Recording actors or processes; 0 is one for each CPU of the cluster or this machine."""
    describe: str = ""
    """Verify and describe the dataset at this path instead of recording one."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.shard_steps < 1:
            raise ValueError("steps and shard_steps must be at least 1")
        if not 0 <= self.heldout < 1:
            raise ValueError("heldout is a share from 0 to below 1")
        if not self.players:
            raise ValueError("players must name at least one player, such as [{player: random}]")
        if not 0 <= self.context <= 256 or self.workers < 0:
            raise ValueError("context must be from 0 to 256, workers at least 0")
