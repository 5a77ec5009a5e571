"""Settings of ``rayatari train-world`` and ``rayatari train-mapper``."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class WorldConfig:
    """The latent-action VQ-VAE: its network, its losses, its training."""

    steps: int = 20_000
    """Optimizer steps."""
    dataset: str = ""
    """Dataset to learn from; empty is the run's own."""


@dataclass(frozen=True)
class MapperConfig:
    """The mapper from past frames and action to latent-action codes, trained through the decoder."""

    steps: int = 20_000
    """Optimizer steps."""
