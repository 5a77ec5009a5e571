"""A neural game as one ONNX file: a step on the argmax path (temperature 0), in single precision.

Inputs: ``past``, uint8 (B, history, H, W), classes of the palette; ``actions``, int64 (B, M), the earlier
actions that the model sees, oldest first, and the one to be played last (``len(action_names)`` stands for an
earlier one that is not known). Outputs: ``frame``, uint8 (B, H, W); ``reward``, int64 (B,), an index into the
reward values; ``done``, bool (B,); ``lives``, int64 (B,). A game that remembers more than its frames has
``memory``, int64 (B, M), among its inputs, which is what the step before gave as ``next_memory``, or -1 for
what the past tells. B is free. What a player must know beside is in the file's metadata, as JSON under
``rayatari``: palette, frame shape and where it lies in H×W, names and values, and ``memory``, which is M.
"""

import importlib.util
import json
import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rayatari.checkpoint import load_bundle
from rayatari.errors import UserError
from rayatari.models.neural_game import KIND, REMEDY, START_FRAMES, GameModel, build_playable
from rayatari.models.playable import PlayableWorld
from rayatari.models.sampling import sample_step

METADATA = "rayatari"
INPUTS, OUTPUTS = ("past", "actions"), ("frame", "reward", "done", "lives")


class GreedyStep(nn.Module):
    """A step of the likeliest course, as plain tensors in and out."""

    def __init__(self, model: PlayableWorld) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, past_BTHW: Tensor, actions_BM: Tensor, memory_BM: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Next frames, rewards, ends, lives and memory; see the module's text."""
        past_BTHW = past_BTHW.int()  # bytes would be patched by reinterpreting
        if memory_BM is not None:
            memory_BM = torch.where(memory_BM[:, :1] < 0, self.model.recall(past_BTHW), memory_BM)
        step = sample_step(self.model, past_BTHW, actions_BM, memory_BM=memory_BM)
        outcome = step.frames_BHW, step.rewards_B, step.done_B, step.lives_B
        return outcome if memory_BM is None else (*outcome, step.memory_BM)


def load_step(folder: Path) -> tuple[GreedyStep, dict[str, Any]]:
    """The step of the neural game in a bundle, and its metadata; UserError when there is none."""
    card, weights = load_bundle(folder, KIND, REMEDY)
    weights.pop(START_FRAMES, None)
    facts = GameModel.from_json(dict(card.model))
    model = build_playable(card, facts)
    model.load_state_dict(weights)
    codec = model.world.codec
    about = facts.to_json() | {
        "game": card.game, "revision": card.revision,
        "history": model.world.history, "action_history": model.earlier,
        "memory": model.memory,
        "padded_shape": codec.padded_shape, "top": codec.top, "left": codec.left,
    }  # fmt: skip
    return GreedyStep(model.eval()), about


def export_onnx(folder: Path, out: Path) -> dict[str, Any]:
    """Write the neural game in ``folder`` to the file ``out``; returns its metadata.

    UserError when the bundle is missing or damaged, or the exporter's packages are not installed.
    """
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"export needs {' and '.join(missing)}: pip install 'rayatari[onnx]'")
    step, about = load_step(folder)
    past_BTHW = torch.zeros(2, about["history"], *about["padded_shape"], dtype=torch.uint8)
    actions_BM = torch.zeros(2, about["action_history"] + 1, dtype=torch.long)
    given: tuple[Tensor, ...] = past_BTHW, actions_BM
    if about["memory"]:
        given = *given, torch.full((2, about["memory"]), -1)
    inputs = (*INPUTS, "memory") if about["memory"] else INPUTS
    outputs = (*OUTPUTS, "next_memory") if about["memory"] else OUTPUTS
    batch = torch.export.Dim("batch")
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter's own making
        # By itself first, where what fixes the size of the batch is an error: here it would be frozen.
        whole = torch.export.export(
            step, given, dynamic_shapes=tuple({0: batch} for _ in given), strict=False
        )
        program = torch.onnx.export(
            whole, dynamo=True, verbose=False, input_names=inputs, output_names=outputs
        )
    assert program is not None
    program.model.metadata_props[METADATA] = json.dumps(about)
    out.parent.mkdir(parents=True, exist_ok=True)
    program.save(out, external_data=False)
    return about
