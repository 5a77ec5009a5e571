"""Scores of people and of chance that agents are measured by."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """Mean scores in one game, in points."""

    random: float
    """Uniformly random actions."""
    human: float
    """A professional games tester, after two hours of practice."""
    dqn: float
    """The DQN of the paper, trained on 200 million frames."""


REFERENCES = {
    "beam_rider": Reference(363.9, 5775.0, 6846.0),
    "breakout": Reference(1.7, 31.8, 401.2),
    "enduro": Reference(0.0, 309.6, 301.8),
    "pong": Reference(-20.7, 9.3, 18.9),
    "qbert": Reference(163.9, 13455.0, 10596.0),
    "seaquest": Reference(68.4, 20182.0, 5286.0),
    "space_invaders": Reference(148.0, 1652.0, 1976.0),
}
"""Mnih et al., "Human-level control through deep reinforcement learning", Nature 518 (2015), Extended Data
Table 2: no sticky actions, up to 30 no-ops, epsilon 0.05, episodes of at most five minutes."""


def human_normalised(game: str, score: float) -> float | None:
    """``score`` where random play is 0 and the human tester is 1; None for a game without a reference."""
    if game not in REFERENCES:
        return None
    reference = REFERENCES[game]
    return (score - reference.random) / (reference.human - reference.random)
