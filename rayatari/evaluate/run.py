"""``rayatari evaluate``: measure the neural game, write ``report.json``, ``report.html`` and the card."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rayatari.agent.players import ErringPlayer, Player, agent_folder, locate_agent, make_player
from rayatari.checkpoint import CARD, is_finished, new_card, read_card, write_card
from rayatari.config.record import PlayerConfig
from rayatari.config.schema import Config
from rayatari.dataset.plan import policy_name
from rayatari.devices import pick_device
from rayatari.errors import UserError
from rayatari.evaluate import album, codes_page, pictures, summary
from rayatari.evaluate.codes import look_inside
from rayatari.evaluate.html import percent
from rayatari.evaluate.inside import learn_inside
from rayatari.evaluate.measure import Extras, Measured, measure
from rayatari.evaluate.report import Pictures, TrainingCurve, render
from rayatari.games.catalog import get_game
from rayatari.games.emulator import Emulator
from rayatari.games.readers import get_reader
from rayatari.games.spec import GameSpec
from rayatari.models.neural_game import KIND, REMEDY, NeuralGame
from rayatari.paths import read_json, stage_dir, write_atomic, write_json
from rayatari.progress import progress
from rayatari.records import read_jsonl

_CURVES = {
    "agent": {"score": "points an episode", "evaluation/score_mean": "points an episode, evaluated"},
    "world": {"loss": "loss", "heldout/changed_error": "held-out error on changed pixels"},
    "mapper": {"loss": "loss", "heldout/changed_error": "held-out error on changed pixels"},
}
"""What the report plots of each stage's metrics.jsonl, and how it is called."""


def run(config: Config) -> None:
    """Evaluate the configured neural game; an evaluation that is finished is only pointed at."""
    folder = stage_dir(config, "evaluation")
    bundle = Path(config.evaluate.weights) if config.evaluate.weights else stage_dir(config, "mapper")
    if is_finished(folder):
        _check_same(folder, bundle)
        print(f"evaluate: finished, see {folder / 'report.html'}")
        return
    began = time.monotonic()
    spec, reader = get_game(config.game), get_reader(config.game)
    game = _load(bundle, config, spec)
    players = {policy_name(entry): _maker(entry, config, spec) for entry in config.evaluate.players}
    real, extras = Emulator(spec, config.emulator), _extras(bundle, config, spec)
    measured = measure(game, real, spec.name, players, config.evaluate, reader, extras)
    results = summary.results(measured, config, spec, reader)
    if config.evaluate.code_steps:
        write_inside(folder, config, spec, game, measured)
    write_report(folder, config, bundle, measured, results, began)
    _print_headline(results, folder)


def _check_same(folder: Path, bundle: Path) -> None:
    remedy = f"remove {folder} to evaluate again"
    judged = read_card(folder, "evaluation", remedy).inputs.get("neural_game")
    if judged != str(bundle):
        raise UserError(f"{folder} holds the evaluation of {judged}: give another name=NAME, or {remedy}")


def _load(bundle: Path, config: Config, spec: GameSpec) -> NeuralGame:
    """The neural game, after checking that it is one of this game and of these settings."""
    card = read_card(bundle, KIND, REMEDY)
    if card.game != spec.name:
        raise UserError(f"{bundle} is a neural {card.game}, not {spec.name}: set game={card.game}")
    device = pick_device(config.training.device, "training.device").type
    game = NeuralGame.load(bundle, device=device, temperature=config.evaluate.temperature)
    if game.frame_skip != config.emulator.frame_skip:
        raise UserError(f"{bundle} has another frame skip: set emulator.frame_skip={game.frame_skip}")
    return game


def _extras(bundle: Path, config: Config, spec: GameSpec) -> Extras:
    """What the blocks that are asked for need besides the game; what is missing is told before they run."""
    evaluate = config.evaluate
    if evaluate.inside.steps and evaluate.inside.backend != "local":
        raise UserError(
            "an agent learns inside the neural game on the local backend only: set inside.backend=local"
        )
    return Extras(
        ancestor=_load(Path(evaluate.ancestor), config, spec) if evaluate.ancestor else None,
        marathon_player=_maker(evaluate.marathon.player, config, spec) if evaluate.marathon.games else None,
        learn_inside=lambda advance: learn_inside(lambda: _load(bundle, config, spec), config, spec, advance),
        device=pick_device(config.training.device, "training.device"),
    )


def _maker(entry: PlayerConfig, config: Config, spec: GameSpec) -> Callable[[], Player]:
    """A function that makes the player of that description, errors and all."""
    located = locate_agent(entry.player, agent_folder(config))
    return lambda: ErringPlayer(make_player(located, spec), entry, spec, policy_name(entry))


def write_inside(folder: Path, config: Config, spec: GameSpec, game: NeuralGame, measured: Measured) -> None:
    """Write ``inside.html``, the page on the codes."""
    settings, world = config.evaluate, game.model.world
    with progress(settings.code_steps, "codes") as bar:
        found = look_inside(
            game, measured.traces, settings.code_steps, settings.batch, world.quantizer.size, world.grid,
            bar.update,
        )  # fmt: skip
    film = codes_page.marked_film(measured.pictured[0], round(1000 * config.emulator.frame_skip / 60))
    write_atomic(folder / "inside.html", codes_page.render(spec.title, found, film))


def write_report(
    folder: Path, config: Config, bundle: Path, measured: Measured, results: dict[str, Any], began: float
) -> None:
    """Write the animations, report.html and report.json, and the card last."""
    milliseconds = round(1000 * config.emulator.frame_skip / 60)
    gifs = {
        "open_loop.gif": album.open_loop_gif(measured, milliseconds),
        "closed_loop.gif": album.closed_loop_gif(measured, milliseconds),
    }
    for name, gif in gifs.items():
        write_atomic(folder / name, gif)
    strips = [album.film_strip(rollout, config.evaluate.horizons) for rollout in measured.pictured]
    open_loop, closed_loop = (pictures.data_uri("image/gif", gif) for gif in gifs.values())
    shown = Pictures(strips, open_loop, closed_loop, bool(config.evaluate.code_steps))
    card = new_card(
        "evaluation", config, inputs={"neural_game": str(bundle)}, metrics=results["verdict"],
        seconds=round(time.monotonic() - began, 1),
    )  # fmt: skip
    results |= {
        key: getattr(card, key) for key in ("inputs", "command", "created", "revision", "versions", "config")
    }
    results["seconds"] = {**_stage_seconds(config), "evaluation": card.seconds}
    write_json(folder / "report.json", results)
    write_atomic(folder / "report.html", render(results, shown, list(_training_curves(config))))
    write_card(folder, card)


def _stage_seconds(config: Config) -> dict[str, float]:
    """Seconds that each earlier stage of this run took; stages made elsewhere are left out."""
    cards = {stage: stage_dir(config, stage) / CARD for stage in ("agent", "dataset", "world", "mapper")}
    return {
        stage: float(
            read_json(path, "card", f"remove {path.parent} and run the stage again").get("seconds", 0)
        )
        for stage, path in cards.items()
        if path.is_file()
    }


def _training_curves(config: Config) -> Iterator[TrainingCurve]:
    for stage, metrics in _CURVES.items():
        records = list(read_jsonl(stage_dir(config, stage) / "metrics.jsonl"))
        for metric, label in metrics.items():
            points = [(float(r["step"]), float(r[metric])) for r in records if r.get(metric) is not None]
            if points:
                yield TrainingCurve(f"{stage}: {label}", points)


def _print_headline(results: dict[str, Any], folder: Path) -> None:
    verdict = results["verdict"]
    error = verdict["changed_pixel_error"]["value"]
    shown = "unknown, nothing moved" if error is None else percent(error)
    print(f"one-step error on changed pixels: {shown} (copy last frame: 100 %)")
    words = "beats" if verdict["beats_copy_last_frame"] else "does not beat"
    print(
        f"open loop: {words} copy-last-frame in pixel error at every step up to {verdict['up_to']} "
        f"(without a gap for {verdict['unbeaten_steps']} steps)"
    )
    judged = [target for target in results["targets"] if target["met"] is not None]
    if judged:
        print(f"targets: {sum(target['met'] for target in judged)} of {len(judged)} measured ones are met")
    print(f"report: {folder / 'report.html'}")
