"""Settings of ``rayatari evaluate``."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EvaluateConfig:
    """What the neural game is measured on, and how long."""

    weights: str = ""
    """Neural-game bundle to evaluate; empty is the run's own."""
