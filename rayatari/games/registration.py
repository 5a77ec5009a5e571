"""The neural games as Gymnasium environments ``rayatari/<Title>-v0`` (contract C2)."""

from rayatari.games.specs import SPECS


def register_environments() -> None:
    """Register one environment for each game of ``SPECS``; safe to call again.

    Nothing is loaded before an environment is made. Registered without a TimeLimit wrapper: how long
    an episode lasts is the game's own affair.
    """
    import gymnasium  # here, because importing gymnasium is what calls this (rayatari.games.gymnasium_hook)

    for spec in SPECS.values():
        if environment_id(spec.title) not in gymnasium.registry:
            gymnasium.register(
                id=environment_id(spec.title),
                entry_point="rayatari.models.neural_env:make_env",
                vector_entry_point="rayatari.models.neural_env:make_vector_env",
                kwargs={"game": spec.name},
            )


def environment_id(title: str) -> str:
    """Gymnasium id of the neural game of that title."""
    return f"rayatari/{title}-v0"
