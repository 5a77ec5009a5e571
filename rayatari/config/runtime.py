"""Settings of the machinery: the emulator, Ray, and how training is executed."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class EmulatorConfig:
    """How the real game is stepped. These settings go into every card."""

    frame_skip: int = 4
    """Emulator frames (1/60 s) per step; 4 gives 15 steps a second, 2 gives 30."""
    sticky: float = 0.0
    """Probability that the emulator repeats the previous action (Machado et al., 2018)."""
    max_steps: int = 27_000
    """Steps after which an episode is truncated (27,000 at frame skip 4 are 30 minutes of play)."""
    noop_max: int = 30
    """Largest number of no-op emulator frames at the start of an episode (Mnih et al., 2015)."""


@dataclass(frozen=True)
class RayConfig:
    """The Ray cluster that a command connects to or starts."""

    address: str = ""
    """Cluster address; empty takes RAY_ADDRESS when it is set (as in a Ray job), else starts a local node."""
    num_cpus: int = 0
    """CPUs of a local node; 0 means all of this machine."""
    object_store_mb: int = 400
    """Shared-memory object store of a local node, in MiB."""


@dataclass(frozen=True)
class TrainingConfig:
    """How the training loops of world model and mapper are executed."""

    backend: Literal["ray", "local"] = "ray"
    """``ray``: Ray Train workers fed by Ray Data. ``local``: the same loop in this process, without Ray."""
    workers: int = 1
    """Ray Train workers; the global batch is divided among them."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """``auto`` takes a GPU when there is one."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Arithmetic of the forward and backward pass; ``auto`` is bf16 where the hardware has it, else fp32.
    Weights and optimizer stay in fp32."""
    threads: int = 0
    """Torch threads a worker; 0 divides this machine's cores among the workers."""
    report_every: int = 20
    """Steps between two records in metrics.jsonl."""
    checkpoint_every: int = 200
    """Steps between two resumable checkpoints, each with a test on held-out windows and a picture."""
    heldout_windows: int = 32
    """Windows of that test."""
    cpus_per_worker: float = 0.5
    """Logical CPUs that Ray reserves for a worker; what the workers leave free reads the data."""
    max_failures: int = 3
    """Worker failures after which a Ray Train run gives up."""
    resident: Literal["auto", "always", "never"] = "auto"
    """Keep all of a worker's frames in its device's memory (36 kB each) and cut windows there; ``auto``
    does so on a GPU where they fill at most half of it."""
    shuffle_frames: int = 6000
    """Frames held decoded in the shuffle buffer of one worker (33.6 kB each)."""
