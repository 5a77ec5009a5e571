"""Settings of ``rayatari record``."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RecordConfig:
    """Who plays, how much is written, and where."""

    path: str = ""
    """Where the dataset goes: a folder or any pyarrow file system URI; empty is the run's own folder."""
    steps: int = 500_000
    """Transitions to record."""
    describe: str = ""
    """Verify and describe the dataset at this path instead of recording one."""
