"""The beat of realtime sessions: all of one frame rate step together."""


class Clock:
    """Ticks ``fps`` times a second; missed ticks are not made up for."""

    def __init__(self, fps: float, now: float) -> None:
        self.period = 1 / fps
        # All clocks count from time 0, so that those of 15 and of 30 a second tick together.
        self.next = (now // self.period + 1) * self.period

    def due(self, now: float) -> bool:
        """Whether it ticks at ``now`` (seconds); if so, it is wound for the next time."""
        if now < self.next:
            return False
        self.next = max(self.next + self.period, now)
        return True
