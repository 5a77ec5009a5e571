"""Values that change over the course of training."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Linear:
    """From ``start`` to ``end`` in ``steps`` environment steps, constant afterwards."""

    start: float
    end: float
    steps: int

    def at(self, step: int) -> float:
        """The value at environment step ``step``."""
        if step >= self.steps:
            return self.end
        return self.start + (self.end - self.start) * step / self.steps
