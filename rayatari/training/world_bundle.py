"""Reading a trained world model from its bundle."""

from rayatari.checkpoint import load_bundle
from rayatari.config.load import validate
from rayatari.config.schema import Config
from rayatari.dataset.info import DatasetInfo
from rayatari.errors import UserError
from rayatari.models.latent_action import LatentActionModel
from rayatari.paths import stage_dir

KIND = "world"


def load_world(config: Config, info: DatasetInfo) -> LatentActionModel:
    """The run's world model, with this run's loss weights.

    UserError when there is none, or when its sizes, palette or frames are not those of the run.
    """
    folder = stage_dir(config, "world")
    card, weights = load_bundle(folder, KIND, "train it with 'rayatari train-world'")
    trained = validate(card.config)
    if trained.world.model != config.world.model:
        raise UserError(
            f"the world model in {folder} was trained with other sizes (world.model): "
            "use the same, or train it again under another name="
        )
    if tuple(card.model["palette"]) != info.palette or tuple(card.model["frame_shape"]) != info.frame_shape:
        raise UserError(
            f"the world model in {folder} was trained on other colours or frame sizes than the dataset's: "
            "train it again on this dataset, under another name="
        )
    model = LatentActionModel(config.world, info.palette, info.frame_shape)
    model.load_state_dict(weights)
    return model
