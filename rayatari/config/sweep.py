"""Settings of ``rayatari sweep``."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SweepConfig:
    """How many trials of what run at once. What they vary is in a file of its own."""

    file: str = "configs/sweeps/loss_weights.yaml"
    """YAML file with the settings that are varied, those that all trials share, and the metric."""
    samples: int = 0
    """Trials in all; 0 takes the number in the file."""
    parallel: int = 0
    """Trials at once; 0 runs as many as the cluster has room for."""
    cpus: float = 1.0
    """CPUs that Ray reserves for a trial; it computes with as many threads, at least one."""
    gpus: float = 0.25
    """Share of a GPU for each trial, where the cluster has one and training.device is not cpu."""
    max_failures: int = 2
    """How often a trial whose process dies is taken up again from its last snapshot."""

    def __post_init__(self) -> None:
        if self.cpus <= 0:
            raise ValueError("cpus must be above 0")
        if min(self.samples, self.parallel, self.gpus, self.max_failures) < 0:
            raise ValueError("samples, parallel, gpus and max_failures must be 0 or more")
