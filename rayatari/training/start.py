"""The neural game that the training of another one begins from."""

from pathlib import Path

from torch import nn

from rayatari.checkpoint import load_bundle
from rayatari.errors import UserError
from rayatari.models.neural_game import KIND, START_FRAMES, GameModel
from rayatari.paths import SHIPPED, shipped_games

REMEDY = "change mapper.start_from"


def start_folder(named: str, game: str) -> Path:
    """The folder of the bundle that ``mapper.start_from`` names."""
    if named != "shipped":
        return Path(named)
    if game not in shipped_games():
        raise UserError(f"no neural game of {game} comes with the package: {REMEDY}")
    return SHIPPED / game


def take_over(model: nn.Module, folder: Path, facts: GameModel) -> list[str]:
    """Load the weights of a neural-game bundle into ``model``; the names of those that it lacks.

    UserError when it is of a game with other ``facts``, or has weights that do not fit.
    """
    card, weights = load_bundle(folder, KIND, REMEDY)
    weights.pop(START_FRAMES, None)
    found = GameModel.from_json(dict(card.model)).to_json()
    differs = [name for name, value in facts.to_json().items() if found[name] != value]
    if differs:
        raise UserError(
            f"the neural game in {folder} was trained on another game, or other data, than the dataset's: "
            f"its {', '.join(differs)} differ: {REMEDY}"
        )
    wanted = model.state_dict()
    misfits = [
        name for name, value in weights.items() if name not in wanted or wanted[name].shape != value.shape
    ]
    if misfits:
        raise UserError(
            f"{len(misfits)} weights of the neural game in {folder} have no place in this one, {misfits[0]} "
            "among them: set world.model.* and mapper.* to its sizes, which its card.json tells"
        )
    model.load_state_dict(weights, strict=False)
    return [name for name in wanted if name not in weights]
