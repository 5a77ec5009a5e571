"""The report: one page that needs nothing else, true to the numbers."""

import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from evaluate_games import FrozenGame, RestlessPlayer
from PIL import Image

from rayatari.checkpoint import is_finished
from rayatari.config.load import validate
from rayatari.evaluate import pictures, plots, summary
from rayatari.evaluate.glossary import MEASURES
from rayatari.evaluate.html import duration, estimate, percent, text
from rayatari.evaluate.measure import measure
from rayatari.evaluate.report import Pictures, TrainingCurve, render
from rayatari.evaluate.run import write_report
from rayatari.evaluate.stats import Estimate
from rayatari.games.catalog import get_game
from rayatari.games.emulator import Emulator
from rayatari.games.palette import to_rgb
from rayatari.games.picture import difference, indices
from rayatari.games.readers import get_reader

VOID = {"meta", "img", "br", "hr"}


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole evaluation of a frozen game, written to disk."""
    runs = tmp_path_factory.mktemp("runs")
    settings = {
        "players": [{"player": "random"}, {"player": "noop"}], "episodes": 2, "episode_steps": 40,
        "pairs": 12, "horizons": [1, 5, 20], "starts": 6, "long_starts": 4,
        "closed_games": 1, "closed_steps": 20,
    }  # fmt: skip
    config = validate({"runs": str(runs), "evaluate": settings})
    spec, reader = get_game("breakout"), get_reader("breakout")
    players = {name: lambda name=name: RestlessPlayer(name) for name in ("<b>first</b>", "second")}
    for stage, seconds in (("agent", 100.0), ("world", 3700.0)):
        (runs / "breakout" / stage).mkdir(parents=True)
        (runs / "breakout" / stage / "card.json").write_text(json.dumps({"seconds": seconds}))
    measured = measure(
        FrozenGame(spec), Emulator(spec, config.emulator), spec.name, players, config.evaluate, reader
    )
    folder = runs / "breakout" / "evaluation"
    write_report(
        folder, config, runs / "weights", measured, summary.results(measured, config, spec, reader), 0.0
    )
    return folder


class Page(HTMLParser):
    """Collects what a page refers to, and checks that its tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        self.references += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_refers_to_nothing_outside(evaluation: Path):
    html = (evaluation / "report.html").read_text()
    page = Page()
    page.feed(html)
    assert not page.open
    own = ("data:image/", "#", "inside.html")
    assert page.references and all(r.startswith(own) for r in page.references)
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"https?://|@import|url\((?!#)|<script|<link", html)


def test_names_are_escaped(evaluation: Path):
    html = (evaluation / "report.html").read_text()
    assert "&lt;b&gt;first&lt;/b&gt;" in html and "<b>first" not in html


def test_the_machine_readable_report_tells_every_number_with_its_count(evaluation: Path):
    results = json.loads((evaluation / "report.json").read_text(), parse_constant=pytest.fail)
    neural = results["one_step"]["pixels"]["neural"]
    assert neural["changed_pixel_error"]["value"] == 1 and neural["wrong_pixels"]["n"] == 12
    assert list(results["open_loop"]["pixel_error"]["neural"]["at"]) == ["1", "5", "20"]
    assert len(results["open_loop"]["pixel_error"]["copy_last_frame"]["curve"]) == 20
    assert results["verdict"]["beats_copy_last_frame"] is False
    assert set(results["rules"]) == {"open_loop", "closed_loop"}
    assert results["seconds"]["agent"] == 100 and results["seconds"]["evaluation"] > 0
    assert results["config"]["evaluate"]["pairs"] == 12


def test_the_card_comes_with_the_report(evaluation: Path):
    assert is_finished(evaluation)
    card = json.loads((evaluation / "card.json").read_text())
    assert card["kind"] == "evaluation" and card["metrics"]["changed_pixel_error"]["value"] == 1


def test_the_page_says_how_long_each_stage_took(evaluation: Path):
    html = (evaluation / "report.html").read_text()
    assert "1 min 40 s" in html and "1 h 1 min" in html


def test_every_measure_of_the_page_is_explained(evaluation: Path):
    results = json.loads((evaluation / "report.json").read_text())
    measured = set(results["one_step"]["pixels"]["neural"])
    objects = results["open_loop"]["objects"]["neural"]["at"]["1"]
    measured |= {name.partition("_")[2] for name in objects} | set(results["rules"]["open_loop"]["neural"])
    measured |= set(results["closed_loop"]["neural"]) - {"scores"}
    assert measured <= set(MEASURES)


def test_training_curves_are_drawn(evaluation: Path):
    results = json.loads((evaluation / "report.json").read_text())
    nothing = Pictures([], "data:image/gif;base64,", "data:image/gif;base64,")
    html = render(results, nothing, [TrainingCurve("world: loss", [(1, 2.0), (2, 0.5)])])
    assert "world: loss" in html


def screen() -> np.ndarray:
    return Emulator(get_game("breakout"), validate({}).emulator).reset(1_000_000)


def test_a_still_shows_exactly_the_emulators_colours():
    frame = screen()
    data = pictures.png(indices(frame))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), to_rgb(frame))


def test_an_animation_shows_exactly_the_emulators_colours_in_every_frame():
    frames = np.stack([screen()] * 3)
    frames[1, 120:124, 50:52], frames[2, 130:134, 60:62] = 70, 70
    image = Image.open(io.BytesIO(pictures.animated_gif([indices(frames)], ["real"], 70, scale=1)))
    assert image.n_frames == 3
    for number in range(3):
        image.seek(number)
        assert np.array_equal(np.asarray(image.convert("RGB"))[-210:], to_rgb(frames[number]))
        assert image.info["duration"] == 70


def test_a_difference_marks_the_wrong_pixels_and_no_others():
    real = screen()
    neural = real.copy()
    neural[120:124, 50:52] = 70
    image = Image.open(io.BytesIO(pictures.png(difference(neural, real)))).convert("RGB")
    magenta = (np.asarray(image) == (255, 0, 200)).all(axis=-1)
    assert np.array_equal(magenta, neural != real)


def test_plots_take_the_pages_ink_and_keep_their_ids_apart():
    curve = plots.Curve("neural", plots.NEURAL, [1, 2], [Estimate(0.1, 3, 0.05, 0.2), Estimate(None, 0)])
    first, second = (plots.horizon_plot([curve], "wrong, %", name) for name in ("a", "b"))
    assert "currentColor" in first and "#010203" not in first
    ids = [set(re.findall(r'id="([^"]*)"', svg)) for svg in (first, second)]
    assert not ids[0] & ids[1]
    for svg, own in zip((first, second), ids, strict=True):
        assert set(re.findall(r'(?:href="#|url\(#)([^")]*)', svg)) <= own


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0, "0 %"), (1, "100 %"), (0.5, "50.0 %"), (0.0062, "0.62 %"), (0.9994, "99.940 %"), (1e-7, "0.0000 %")],
)
def test_percentages_keep_the_digits_that_tell(share, shown):
    assert percent(share) == shown


def test_a_number_that_was_not_measured_is_a_dash():
    assert estimate({"value": None, "n": 0, "low": None, "high": None}) == "<td>–</td>"
    beyond = estimate({"value": None, "n": 7, "low": 3.0, "high": None}, missing="beyond 60")
    assert "beyond 60" in beyond and "n 7" in beyond


def test_durations_and_text_read_well():
    assert [duration(s) for s in (48, 200, 7500)] == ["48 s", "3 min 20 s", "2 h 5 min"]
    assert text("<&>") == "&lt;&amp;&gt;"
