"""Settings of ``rayatari train-agent``."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class AgentConfig:
    """Deep Q-learning (Mnih et al., 2015) with the extensions that can be switched here."""

    steps: int = 1_000_000
    """Environment steps (of ``emulator.frame_skip`` frames) to train for."""
    exploration: Literal["epsilon", "boltzmann"] = "epsilon"
    """``epsilon``: epsilon-greedy; ``boltzmann``: actions sampled from softmax(Q / temperature)."""
