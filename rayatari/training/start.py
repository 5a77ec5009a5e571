"""The neural game that the training of another one begins from."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from rayatari.checkpoint import load_bundle
from rayatari.errors import UserError
from rayatari.models.neural_game import KIND, START_FRAMES, GameModel
from rayatari.paths import SHIPPED, shipped_games

REMEDY = "change mapper.start_from"


def begun_weights(named: str, game: str, facts: GameModel) -> dict[str, Tensor]:
    """Weights of the bundle that ``mapper.start_from`` names: a folder, or ``shipped``.

    UserError when there is none, or it is of a game with other ``facts``.
    """
    if named == "shipped" and game not in shipped_games():
        raise UserError(f"no neural game of {game} comes with the package: {REMEDY}")
    folder = SHIPPED / game if named == "shipped" else Path(named)
    card, weights = load_bundle(folder, KIND, REMEDY)
    found = GameModel.from_json(dict(card.model)).to_json()
    differs = [name for name, value in facts.to_json().items() if found[name] != value]
    if differs:
        raise UserError(
            f"the neural game in {folder} was trained on another game, or other data, than the dataset's: "
            f"its {', '.join(differs)} differ: {REMEDY}"
        )
    return {name: value for name, value in weights.items() if name != START_FRAMES}


def take_over(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load ``weights`` into ``model``, whose other parts stay; UserError when some have no place in it."""
    wanted = model.state_dict()
    misfits = [
        name for name, value in weights.items() if name not in wanted or wanted[name].shape != value.shape
    ]
    if misfits:
        raise UserError(
            f"{len(misfits)} weights of the neural game that mapper.start_from names have no place in this "
            f"one, {misfits[0]} among them: set world.model.* and mapper.* to its sizes, as on its card.json"
        )
    model.load_state_dict(weights, strict=False)
