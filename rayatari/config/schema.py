"""The configuration: one frozen dataclass that holds the section of every stage."""

from dataclasses import dataclass, field

from rayatari.config.agent import AgentConfig
from rayatari.config.evaluate import EvaluateConfig
from rayatari.config.play import PlayConfig
from rayatari.config.record import RecordConfig
from rayatari.config.runtime import EmulatorConfig, RayConfig, TrainingConfig
from rayatari.config.serve import ServeConfig
from rayatari.config.sweep import SweepConfig
from rayatari.config.world import MapperConfig, WorldConfig


@dataclass(frozen=True)
class Config:
    """Everything a run depends on. The resolved form goes into the card of every artifact."""

    game: str = "breakout"
    """Game to learn, as ``rayatari games`` lists it, or any other ALE game by name."""
    name: str = ""
    """Name of the run; empty is the game's name. Artifacts lie in ``runs/<name>``."""
    runs: str = "runs"
    """Folder of all runs."""
    seed: int = 0
    """Seed of everything random in a run."""
    emulator: EmulatorConfig = field(default_factory=EmulatorConfig)
    """How the real game is stepped."""
    ray: RayConfig = field(default_factory=RayConfig)
    """The Ray cluster to use."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """How training loops are executed."""
    agent: AgentConfig = field(default_factory=AgentConfig)
    """``train-agent``."""
    record: RecordConfig = field(default_factory=RecordConfig)
    """``record``."""
    world: WorldConfig = field(default_factory=WorldConfig)
    """``train-world``."""
    mapper: MapperConfig = field(default_factory=MapperConfig)
    """``train-mapper``."""
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    """``evaluate``."""
    sweep: SweepConfig = field(default_factory=SweepConfig)
    """``sweep``."""
    play: PlayConfig = field(default_factory=PlayConfig)
    """``play``."""
    serve: ServeConfig = field(default_factory=ServeConfig)
    """``serve``."""
