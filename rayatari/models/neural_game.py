"""The neural game: a trained world that is played through reset and step, many games in one batch."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rayatari.checkpoint import Card, load_bundle
from rayatari.config.load import validate
from rayatari.config.schema import Config
from rayatari.dataset.info import DatasetInfo
from rayatari.errors import UserError
from rayatari.models.decoder import Sight
from rayatari.models.hardware import fast_bf16, place
from rayatari.models.latent_action import LatentActionModel
from rayatari.models.packed import pack
from rayatari.models.playable import PlayableWorld
from rayatari.models.presence import Foretold
from rayatari.models.sampling import SampledStep, Temperature, draw_lots, draw_step, sample_codes

KIND = "neural-game"
START_FRAMES = "start_frames"
"""Name, in the bundle's weights, of the frames that games begin from."""
REMEDY = "train one with 'rayatari pipeline', or name the folder of a neural-game bundle"


@dataclass(frozen=True)
class GameModel:
    """What a neural-game card says of the game it learned."""

    action_names: tuple[str, ...]
    """Names of the actions, in the order of their indices."""
    palette: tuple[int, ...]
    """Palette bytes of its frames, ascending."""
    frame_shape: tuple[int, int]
    """Height and width of a frame."""
    frame_skip: int
    """Emulator frames that one step stands for."""
    reward_values: tuple[float, ...]
    """Points that a step can bring, ascending."""
    max_lives: int
    """Most lives."""

    @classmethod
    def describe(cls, config: Config, info: DatasetInfo) -> Self:
        """From the dataset that was learned."""
        return cls(
            action_names=info.action_names,
            palette=info.palette,
            frame_shape=info.frame_shape,
            frame_skip=info.frame_skip,
            reward_values=info.reward_values,
            max_lives=info.max_lives,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values for a card."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """From a card; KeyError or TypeError when it is not one."""
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**{**values, **lists})


@dataclass(frozen=True)
class BatchStep:
    """What one step of B games returns."""

    frames: NDArray[np.uint8]
    """Palette bytes, (B, height, width)."""
    rewards: NDArray[np.float32]
    """Points scored, (B,)."""
    terminated: NDArray[np.bool_]
    """The game is over, (B,)."""
    lives: NDArray[np.int64]
    """Lives left, (B,)."""


@dataclass(frozen=True)
class LooseGame:
    """One game outside of any batch: all that is needed to go on with it."""

    past_THW: Tensor
    """Its last ``history`` frames, classes uint8 (history, H, W)."""
    noise: torch.Generator
    """Where its chance stands."""
    sight: Sight | None = None
    """What the network has seen of that past already, if it has; not needed to go on."""
    earlier_M: Tensor | None = None
    """The last actions that its model looks at, oldest first, int64 (M,); None where none is known."""
    memory_M: Tensor | None = None
    """What its model remembers beside these, int64 (M,); None for what the frames tell of it."""


class NeuralGame:
    """B games that run in one batch of a network.

    A game is its last ``history`` frames, its last ``action_history`` actions, a noise generator and what
    the model remembers of its ball and its score, a few numbers. Nothing is shared between games.
    """

    def __init__(
        self, model: PlayableWorld, facts: GameModel, starts: NDArray[np.uint8],
        game: str, device: torch.device, temperature: float = 1.0,
    ) -> None:  # fmt: skip
        if temperature < 0:
            raise UserError(f"temperature={temperature} is negative: 0 is the likeliest course, 1 as learned")
        self.model = place(model.eval(), device)
        self.facts, self.game, self.device, self.temperature = facts, game, device, temperature
        self._starts = starts
        self._past_BTHW = torch.empty(0)
        self._earlier_BM = torch.empty(0, dtype=torch.long)
        self._memory_BM = torch.empty(0, dtype=torch.long)
        self._sight: Sight | None = None
        self._noise: list[torch.Generator] = []
        self._heat: Sequence[float] | None = None

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu", temperature: float = 1.0) -> Self:
        """Read a neural-game bundle; UserError when it is missing or damaged."""
        card, weights = load_bundle(Path(folder), KIND, REMEDY)
        try:
            facts = GameModel.from_json(dict(card.model))
            starts = weights.pop(START_FRAMES).numpy()
            model = build_playable(card, facts)
            model.load_state_dict(weights)
        except (KeyError, TypeError, RuntimeError) as error:
            reason = str(error).splitlines()[0][:120]
            raise UserError(
                f"the bundle in {folder} does not fit this version ({reason}): {REMEDY}"
            ) from None
        if torch.device(device).type == "cpu":
            model = pack(model.eval())
        return cls(model, facts, starts, card.game, torch.device(device), temperature)

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions, in the order of their indices."""
        return self.facts.action_names

    @property
    def palette(self) -> tuple[int, ...]:
        """Palette bytes of the frames, ascending."""
        return self.facts.palette

    @property
    def frame_skip(self) -> int:
        """Emulator frames that one step stands for."""
        return self.facts.frame_skip

    @property
    def history(self) -> int:
        """Past frames that a step looks at."""
        return self.model.world.history

    @property
    def action_history(self) -> int:
        """Past actions that a step looks at, beside the one to be played."""
        return self.model.earlier

    def reset(
        self, seeds: Sequence[int], frames: NDArray[np.uint8] | None = None,
        actions: NDArray[np.integer[Any]] | None = None,
    ) -> NDArray[np.uint8]:  # fmt: skip
        """Begin B games and return their present frames, palette bytes (B, height, width).

        ``seeds`` (B,) fix the course of chance. ``frames`` (B, T, height, width), any T of at least 1, are
        the real past to go on from; without it each game begins at the start of a recorded episode.
        ``actions`` (B, any number) are the indices of the last ones that led there, oldest first; without
        them nothing is known of what was played. UserError when frames have another shape or colours that
        the game does not know, or actions are not of the game.
        """
        self._heat = None
        self._noise = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
        past = self._pick_starts(self._noise) if frames is None else frames
        height, width = self.facts.frame_shape
        if (
            past.ndim != 4
            or len(past) != len(seeds)
            or past.shape[1] < 1
            or past.shape[2:] != (height, width)
        ):
            raise UserError(
                f"frames of shape {past.shape} given, uint8 ({len(seeds)}, T, {height}, {width}) needed"
            )
        past = past[:, -self.history :]
        past = np.concatenate([past[:, :1].repeat(self.history - past.shape[1], 1), past], 1)
        self._go_on_from(self.model.world.codec.encode(past).to(self.device))
        self._memory_BM = self.model.recall(self._past_BTHW)
        self._earlier_BM = self._unknown(len(seeds))
        if actions is not None and self.action_history and actions.shape[1]:
            known_BM = torch.stack([self._checked(column) for column in actions.T], 1)
            self._earlier_BM = self._latest(torch.cat([self._earlier_BM, known_BM], 1))
        return np.array(past[:, -1])

    def restart(self, which: NDArray[np.bool_], seeds: Sequence[int]) -> NDArray[np.uint8]:
        """Begin the games ``which`` (B,) anew while the others go on; returns their frames."""
        noise = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
        starts = self._pick_starts(noise)
        for index, generator in zip(np.flatnonzero(which), noise, strict=True):
            self._noise[index] = generator
        chosen = torch.from_numpy(which).to(self.device)
        past_BTHW = self._past_BTHW.clone()
        past_BTHW[chosen] = self.model.world.codec.encode(starts).to(self.device)
        self._go_on_from(past_BTHW)
        self._memory_BM = torch.where(chosen[:, None], self.model.recall(past_BTHW), self._memory_BM)
        self._earlier_BM = torch.where(chosen[:, None], len(self.action_names), self._earlier_BM)
        return np.array(starts[:, -1])

    def gather(self, games: Sequence[LooseGame], temperatures: Sequence[float] | None = None) -> None:
        """Play these games from now on, in this order, each at its temperature; those before are let go."""
        sights = [game.sight for game in games if game.sight is not None]
        sight = Sight.join(sights) if len(sights) == len(games) else None
        self._go_on_from(torch.stack([game.past_THW for game in games]).to(self.device), sight)
        self._earlier_BM = self._unknown(len(games))
        for row, game in enumerate(games):
            if game.earlier_M is not None:
                self._earlier_BM[row] = game.earlier_M
        memories = [
            self.model.recall(game.past_THW[None])[0]
            if game.memory_M is None or len(game.memory_M) != self.model.memory
            else game.memory_M
            for game in games
        ]
        self._memory_BM = torch.stack(memories).to(self.device)
        self._noise = [game.noise for game in games]
        self._heat = temperatures

    def scatter(self) -> list[LooseGame]:
        """The games as they stand, each for itself."""
        sights = self._sight.split() if self._sight else [None] * len(self._noise)
        games = zip(self._past_BTHW, self._noise, sights, self._earlier_BM, self._memory_BM, strict=True)
        return [
            LooseGame(past.clone(), noise, sight, earlier.clone(), memory.clone())
            for past, noise, sight, earlier, memory in games
        ]

    @torch.inference_mode()
    def look_ahead(self) -> None:
        """Do now what the next step has to do before it needs to know the actions: about a third of it.

        Nothing, where the actions decide where things go.
        """
        if not self.model.sees_actions:
            with self._computing():
                self._look(self._with_earlier(np.zeros(len(self._noise), np.int64)))

    def _pick_starts(self, noise: Sequence[torch.Generator]) -> NDArray[np.uint8]:
        chosen = [int(torch.randint(len(self._starts), (1,), generator=g)) for g in noise]
        return self._starts[chosen]

    @torch.inference_mode()
    def lives(self) -> NDArray[np.int64]:
        """Lives left in each game now, (B,), as the model reads them from the frames."""
        with self._computing():
            actions_BM = self._with_earlier(np.zeros(len(self._noise), np.int64))
            foretold = self._foretell(actions_BM)
            sight = self._look(actions_BM, foretold)
            codes_BN = sample_codes(self.model, sight, actions_BM)
            lives_B = self._draw(sight, codes_BN, actions_BM, foretold=foretold).lives_B
        lives: NDArray[np.int64] = lives_B.numpy(force=True)
        return lives

    @torch.inference_mode()
    def step(self, actions: Sequence[int] | NDArray[np.integer[Any]]) -> BatchStep:
        """Play action index ``actions`` (B,) in each game for one step."""
        with self._computing():
            actions_BM, lots_B = self._with_earlier(actions), draw_lots(self._warmth, self._noise)
            foretold = self._foretell(actions_BM, lots_B)
            sight = self._look(actions_BM, foretold)
            codes_BN = self._sample(sight, actions_BM)
            return self._advance(self._draw(sight, codes_BN, actions_BM, lots_B, foretold), actions_BM)

    @torch.inference_mode()
    def true_codes(self, present: NDArray[np.uint8], following: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The encoder's codes (B, N) for the step between two frames, palette bytes (B, height, width)."""
        codec = self.model.world.codec
        with self._computing():
            codes_BN = self.model.world.true_codes(
                codec.encode(present).to(self.device), codec.encode(following).to(self.device)
            )
        codes: NDArray[np.int64] = codes_BN.numpy(force=True)
        return codes

    @torch.inference_mode()
    def sample_codes(self, actions: Sequence[int] | NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """The codes (B, N) that the mapper chooses for ``actions`` now; the games stand still."""
        with self._computing():
            actions_BM = self._with_earlier(actions)
            codes_BN = self._sample(self._look(actions_BM, self._foretell(actions_BM)), actions_BM)
        codes: NDArray[np.int64] = codes_BN.numpy(force=True)
        return codes

    @torch.inference_mode()
    def step_with_codes(
        self, codes: NDArray[np.int64], actions: Sequence[int] | NDArray[np.integer[Any]]
    ) -> BatchStep:
        """Go one step by ``actions``, with given codes (B, N) in place of the mapper's."""
        with self._computing():
            codes_BN, actions_BM = torch.from_numpy(codes).to(self.device), self._with_earlier(actions)
            lots_B = draw_lots(self._warmth, self._noise)
            foretold = self._foretell(actions_BM, lots_B)
            sight = self._look(actions_BM, foretold)
            return self._advance(self._draw(sight, codes_BN, actions_BM, lots_B, foretold), actions_BM)

    def _computing(self) -> torch.autocast:
        kind = self.device.type
        return torch.autocast(kind, torch.bfloat16, enabled=fast_bf16(kind))

    def _draw(
        self, sight: Sight, codes_BN: Tensor, actions_BM: Tensor, lots_B: Tensor | None = None,
        foretold: Foretold | None = None,
    ) -> SampledStep:  # fmt: skip
        present_BHW = self._past_BTHW[:, -1]
        return draw_step(
            self.model, sight, codes_BN, actions_BM, present_BHW, lots_B, self._memory_BM, foretold
        )

    def _foretell(self, actions_BM: Tensor, lots_B: Tensor | None = None) -> Foretold | None:
        return self.model.foretell(self._past_BTHW, actions_BM, self._memory_BM, lots_B)

    def _look(self, actions_BM: Tensor, foretold: Foretold | None = None) -> Sight:
        if not self._noise:
            raise UserError("the game has not begun: call reset first")
        if self.model.sees_actions:
            return self.model.look(self._past_BTHW, actions_BM, foretold)
        if self._sight is None:
            self._sight = self.model.look(self._past_BTHW, actions_BM)
        return self._sight

    def _go_on_from(self, past_BTHW: Tensor, sight: Sight | None = None) -> None:
        self._past_BTHW, self._sight = past_BTHW, sight

    @property
    def _warmth(self) -> Temperature:
        """Temperature of all games, or of each."""
        return self.temperature if self._heat is None else self._heat

    def _sample(self, sight: Sight, actions_BM: Tensor) -> Tensor:
        return sample_codes(self.model, sight, actions_BM, self._warmth, self._noise)

    def _unknown(self, games: int) -> Tensor:
        """Earlier actions (B, M) of games of which none is known."""
        return torch.full((games, self.action_history), len(self.action_names), device=self.device)

    def _latest(self, actions_BM: Tensor) -> Tensor:
        return actions_BM[:, actions_BM.shape[1] - self.action_history :]

    def _with_earlier(self, actions: Sequence[int] | NDArray[np.integer[Any]]) -> Tensor:
        return torch.cat([self._earlier_BM, self._checked(actions)[:, None]], 1)

    def _checked(self, actions: Sequence[int] | NDArray[np.integer[Any]]) -> Tensor:
        indices = np.asarray(actions)
        most = len(self.action_names) - 1
        if indices.shape != (len(self._noise),) or indices.min() < 0 or indices.max() > most:
            raise UserError(f"actions {actions} given: {len(self._noise)} indices of 0 to {most} needed")
        return torch.from_numpy(indices.astype(np.int64)).to(self.device)

    def _advance(self, step: SampledStep, actions_BM: Tensor) -> BatchStep:
        self._earlier_BM, self._memory_BM = self._latest(actions_BM), step.memory_BM
        self._go_on_from(torch.cat([self._past_BTHW[:, 1:], step.frames_BHW[:, None]], 1))
        values = np.array(self.facts.reward_values, np.float32)
        return BatchStep(
            frames=self.model.world.codec.decode(step.frames_BHW),
            rewards=values[step.rewards_B.numpy(force=True)],
            terminated=step.done_B.numpy(force=True),
            lives=step.lives_B.numpy(force=True),
        )


def build_playable(card: Card, facts: GameModel) -> PlayableWorld:
    """The network that a neural-game card describes, untrained."""
    config = validate(card.config)
    world = LatentActionModel(config.world, facts.palette, facts.frame_shape)
    return PlayableWorld(
        world, config.mapper, len(facts.action_names), len(facts.reward_values), facts.max_lives + 1
    )
