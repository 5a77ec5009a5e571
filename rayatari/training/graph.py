"""A training step as one CUDA graph: a thousand small kernels launched as one.

Small networks leave a GPU waiting for Python. A captured step runs as fast as its kernels do.
"""

import sys
from collections.abc import Callable
from dataclasses import fields

import torch
from torch import Tensor

from rayatari.models.windows import Lesson

Compute = Callable[[Lesson], tuple[Tensor, Tensor]]
"""One whole training step: logs, float (L,), and the frames drawn, classes (B, H, W)."""


class GraphedStep:
    """Runs ``compute`` eagerly a few times, then captures it and replays the graph.

    Where the capture fails, it says so once and stays eager. All that changes from step to step must
    come in the lesson, which is copied into the graph's own tensors, or in tensors changed in place.
    """

    WARM_UP = 3

    def __init__(self, compute: Compute) -> None:
        self._compute = compute
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: Lesson | None = None
        self._outputs: tuple[Tensor, Tensor] | None = None

    @property
    def captured(self) -> bool:
        """Whether steps are replayed from a graph."""
        return self._graph is not None

    def __call__(self, lesson: Lesson) -> tuple[Tensor, Tensor]:
        """Do one training step."""
        self._calls += 1
        if self._calls <= self.WARM_UP:
            return self._beside(lesson)
        if self._calls == self.WARM_UP + 1:
            self._capture(lesson)
        if self._graph is None:
            return self._compute(lesson)
        assert self._inputs is not None and self._outputs is not None
        for entry in fields(Lesson):
            getattr(self._inputs, entry.name).copy_(getattr(lesson, entry.name))
        self._graph.replay()
        logs, drawn_BHW = self._outputs
        return logs.clone(), drawn_BHW.clone()

    def _beside(self, lesson: Lesson) -> tuple[Tensor, Tensor]:
        """On a stream of its own, as a capture wants its warm-up."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            outputs = self._compute(lesson)
        torch.cuda.current_stream().wait_stream(stream)
        return outputs

    def _capture(self, lesson: Lesson) -> None:
        self._inputs = Lesson(*(getattr(lesson, entry.name).clone() for entry in fields(Lesson)))
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._outputs = self._compute(self._inputs)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            print(f"training: no CUDA graph ({reason}); steps run kernel by kernel", file=sys.stderr)
            torch.cuda.synchronize()
            return
        self._graph = graph
