"""What is kept of a session: films that show it exactly, datasets that verify."""

import dataclasses
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rayatari.dataset
from rayatari.config.load import load_config
from rayatari.dataset.info import read_info
from rayatari.dataset.reader import Transition
from rayatari.dataset.storage import Storage
from rayatari.dataset.verify import verified_chunks
from rayatari.errors import UserError
from rayatari.games.counting import COUNTING, CountingGame, read
from rayatari.games.palette import to_rgb
from rayatari.games.picture import COLOURS, indices
from rayatari.play.film import find_ffmpeg, open_film
from rayatari.play.interrupt import interrupts_wait
from rayatari.play.recording import Recording, open_recording
from rayatari.play.session import Source

COUNTED = Source("counting", COUNTING.action_names, COUNTING.palette, 4, 0.0, neural=False)


def record(path: Path, source: Source = COUNTED, **settings: str) -> Recording:
    words = [f"record={path}", *(f"record.{key}={value}" for key, value in settings.items())]
    return open_recording(load_config([], words, "play"), source, ["counting"], 1 / 15)


def play(recording: Recording, seed: int, steps: int, length: int = 1000, player: str = "human") -> None:
    """Play ``steps`` steps of the counting game into a recording."""
    game = CountingGame(length)
    frame = game.reset(seed)
    recording.opening(frame, game.lives, seed)
    for step in range(steps):
        action = (seed + step) % 4
        recording.step(action, game.step(action), player)


def check(path: Path) -> dict[int, list[Transition]]:
    """Verify a dataset and return its transitions by seed."""
    info = read_info(str(path))
    assert sum(chunk.length for chunk in verified_chunks(Storage(str(path)), info)) == info.transitions
    found: dict[int, list[Transition]] = {}
    for transition in rayatari.dataset.open(str(path)):
        found.setdefault(transition.seed, []).append(transition)
    for transitions in found.values():
        for number, transition in enumerate(transitions):
            count = read(transition.frame)
            assert (count.seed, count.step) == (transition.seed, transition.step) == (count.seed, number)
            assert transition.action == (count.seed + number) % 4
    return found


def test_a_session_is_a_sound_dataset_step_for_step(tmp_path: Path) -> None:
    recording = record(tmp_path / "mine")
    play(recording, seed=3, steps=300)
    play(recording, seed=4, steps=40, length=40)
    play(recording, seed=5, steps=128)  # a whole chunk, then the end: the last step is known only then
    recording.close()
    found = check(tmp_path / "mine")
    assert {seed: len(steps) for seed, steps in found.items()} == {3: 300, 4: 40, 5: 128}
    assert [(t.terminated, t.truncated) for t in (found[s][-1] for s in (3, 4, 5))] == [
        (False, True),
        (True, False),
        (False, True),
    ]
    assert read_info(str(tmp_path / "mine")).policies == {"human": 468}


def test_later_sessions_are_added(tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        recording = record(tmp_path / "mine")
        assert recording.sessions == seed - 1
        play(recording, seed, steps=50 * seed)
        recording.close()
    assert {seed: len(steps) for seed, steps in check(tmp_path / "mine").items()} == {1: 50, 2: 100, 3: 150}


def test_whole_episodes_are_held_out_as_far_as_the_share_goes(tmp_path: Path) -> None:
    recording = record(tmp_path / "mine", heldout="0.3")
    for seed in range(10):
        play(recording, seed, steps=20)
    recording.close()
    check(tmp_path / "mine")
    info = read_info(str(tmp_path / "mine"))
    assert (info.count("train"), info.count("heldout")) == (140, 60)


def test_a_takeover_names_both_players_and_a_network_is_not_passed_off_as_the_emulator(
    tmp_path: Path,
) -> None:
    recording = record(tmp_path / "mine", dataclasses.replace(COUNTED, neural=True))
    game = CountingGame()
    recording.opening(game.reset(1), game.lives, 1)
    for step in range(200):
        recording.step(0, game.step(0), "human" if step < 150 else "dqn-7")
    recording.close()
    assert read_info(str(tmp_path / "mine")).policies == {"dqn-7+human in neural game": 200}
    with pytest.raises(UserError, match="other settings"):
        record(tmp_path / "mine")


def test_a_session_without_a_step_leaves_nothing(tmp_path: Path) -> None:
    recording = record(tmp_path / "mine.gif")
    recording.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["a file", "other files", "another game", "another skip"])
def test_a_place_that_holds_something_else_is_refused(tmp_path: Path, what: str) -> None:
    path, source = tmp_path / "mine", COUNTED
    if what == "a file":
        path.write_text("words")
    elif what == "other files":
        path.mkdir()
        (path / "notes.txt").write_text("words")
    else:
        recording = record(path)
        play(recording, 1, 10)
        recording.close()
        change = {"game": "breakout"} if what == "another game" else {"frame_skip": 2}
        source = dataclasses.replace(COUNTED, **change)
    with pytest.raises(UserError, match="choose another"):
        record(path, source)


def test_a_dataset_of_the_recorder_is_not_touched(tmp_path: Path) -> None:
    recording = record(tmp_path / "mine")
    play(recording, 1, 10)
    recording.close()
    card = tmp_path / "mine" / "card.json"
    card.write_text(card.read_text().replace('"sessions"', '"other"'))
    with pytest.raises(UserError, match="made by 'rayatari record'"):
        record(tmp_path / "mine")


def panels(seed: int, count: int) -> list[list[np.ndarray]]:
    """Pictures of the counting game, each shown twice, in one panel and its mirror image."""
    game = CountingGame()
    frames = [game.reset(seed), *(game.step(step % 4).frame for step in range(count - 1))]
    return [[indices(frame), indices(frame[:, ::-1])] for frame in frames for _ in range(2)]


def decoded(path: Path) -> list[np.ndarray]:
    """RGB frames of a GIF, each as often as its duration asks for at 15 frames a second."""
    frames = []
    clock = 0.0
    with Image.open(path) as image:
        for number in range(image.n_frames):
            image.seek(number)
            clock += image.info["duration"] / 1000
            while len(frames) + 0.5 < clock * 15:
                frames.append(np.asarray(image.convert("RGB")))
    return frames


def test_a_gif_shows_every_frame_exactly_and_for_as_long_as_it_was_shown(tmp_path: Path) -> None:
    shown = panels(seed=5, count=40)
    film = open_film(tmp_path / "a.gif", ["left", "right"], 1 / 15)
    for pair in shown:
        film.add(pair)
    assert film.close() == 80
    frames = decoded(tmp_path / "a.gif")
    assert len(frames) == 80
    for frame, pair in zip(frames, shown, strict=True):
        assert (frame[-420::2, :320:2] == COLOURS[pair[0]]).all()
        assert (frame[-420::2, 328::2] == COLOURS[pair[1]]).all()
    assert (frames[0][:28] == (225, 225, 225)).all(axis=-1).sum() > 100  # the titles


def test_a_gif_of_one_game_has_nothing_but_its_pixels(tmp_path: Path) -> None:
    frame = CountingGame().reset(77)
    film = open_film(tmp_path / "a.gif", ["counting"], 1 / 30)
    for _ in range(3):
        film.add([indices(frame)])
    film.close()
    with Image.open(tmp_path / "a.gif") as image:
        assert (image.n_frames if hasattr(image, "n_frames") else 1) == 1
        assert (np.asarray(image.convert("RGB"))[::2, ::2] == to_rgb(frame)).all()


def test_an_mp4_has_every_frame(tmp_path: Path) -> None:
    import subprocess

    film = open_film(tmp_path / "a.mp4", ["left", "right"], 1 / 15)
    shown = panels(seed=5, count=20)
    for pair in shown:
        film.add(pair)
    assert film.close() == 40
    words = [find_ffmpeg(), "-loglevel", "error", "-i", str(tmp_path / "a.mp4"), "-f", "rawvideo"]
    raw = subprocess.run([*words, "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
    frames = np.frombuffer(raw, np.uint8).reshape(40, 448, 648, 3)
    wrong = np.abs(frames[-1][-420::2, :320:2].astype(int) - COLOURS[shown[-1][0]]).mean()
    assert wrong < 6


def test_without_an_encoder_an_mp4_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'rayatari\[mp4\]'"):
        record(tmp_path / "film.mp4")
    assert list(tmp_path.iterdir()) == []


def test_the_card_counts_the_sessions_and_holds_the_settings_but_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["rayatari", "play", "token=secret", "serve.token=secret", "steps=3"])
    words = [f"record={tmp_path / 'mine'}", "token=secret", "serve.token=secret"]
    recording = open_recording(load_config([], words, "play"), COUNTED, ["counting"], 1 / 15)
    play(recording, 1, 10)
    recording.close()
    card = Storage(str(tmp_path / "mine")).read_json("card.json", "card", "")
    assert card["metrics"] == {
        "transitions": 10, "episodes": 1, "heldout_transitions": 0, "sessions": 1, "neural": False,
    }  # fmt: skip
    assert card["config"]["play"]["token"] == card["config"]["serve"]["token"] == ""
    assert card["command"] == "rayatari play steps=3"
    assert "secret" not in (tmp_path / "mine" / "card.json").read_text()
    assert card["config"]["play"]["record"] == str(tmp_path / "mine")


def test_an_interrupt_waits_until_what_is_recorded_is_whole() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt), interrupts_wait() as check:
        check()
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("the step is whole")
        check()
        done.append("never")
    assert done == ["the step is whole"]


def test_a_second_interrupt_does_not_wait() -> None:
    with pytest.raises(KeyboardInterrupt), interrupts_wait():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("went on")
