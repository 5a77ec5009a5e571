"""Configuration: shipped files parse, mistakes are named, overrides land where they are meant."""

import pickle
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
import yaml

from rayatari.cli import COMMANDS, main
from rayatari.config.load import describe_fields, load_config, validate
from rayatari.config.schema import Config
from rayatari.errors import UserError

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "configs").glob("*.yaml"))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_every_shipped_config_is_valid(file: Path) -> None:
    assert load_config([str(file)]).game


def test_the_gpu_overlay_lies_over_every_game() -> None:
    for file in SHIPPED:
        merged = load_config([str(file), str(ROOT / "configs" / "gpu.yaml")])
        assert merged.training.device == "cuda"
        assert merged.game == load_config([str(file)]).game


def test_later_files_and_then_words_win(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("seed: 1\nrecord: {steps: 5, heldout: 0.3}\n")
    (tmp_path / "b.yaml").write_text("record: {steps: 6}\n")
    files = [str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")]
    config = load_config(files, ["seed=3"])
    assert (config.seed, config.record.steps, config.record.heldout) == (3, 6, 0.3)


def test_bare_keys_belong_to_the_section_of_the_command() -> None:
    assert load_config([], ["steps=7"], "record").record.steps == 7
    assert load_config([], ["steps=7"], "agent").agent.steps == 7
    assert load_config([], ["record.steps=7"], "agent").record.steps == 7
    assert load_config([], ["game=pong"], "record").game == "pong"


def test_a_dot_tells_a_section_from_a_key_of_that_name() -> None:
    config = load_config([], ["agent=true", "agent.hidden=64", "record=a.gif", "record.steps=7"], "play")
    assert (config.play.agent, config.agent.hidden) == (True, 64)
    assert (config.play.record, config.record.steps) == ("a.gif", 7)


def test_no_bare_key_means_two_things() -> None:
    roots = {item.name for item in fields(Config) if not is_dataclass(getattr(Config(), item.name))}
    for command in COMMANDS.values():
        if command.section:
            assert not roots & {key for key, _, _ in describe_fields(command.section)}


def test_numbers_that_yaml_reads_as_text_are_numbers() -> None:
    assert load_config([], ["emulator.sticky=1e-1"]).emulator.sticky == 0.1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gam=pong"], "unknown key 'gam': did you mean 'game'"),
        (["record.stepz=1"], "did you mean 'steps'"),
        (["world.model.codez=1"], "did you mean 'codes'"),
        (["record.steps=many"], "'record.steps' is wrong"),
        (["agent.exploration=softmax"], "'epsilon', 'boltzmann' or 'greedy'"),
        (["agent=3"], "'agent' is wrong"),
        (["steps"], "key=value"),
        (["=3"], "key=value"),
    ],
)
def test_mistakes_are_named(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_config([], words)


@pytest.mark.parametrize(
    ("content", "message"),
    [("a: [", "cannot be read"), ("- 1", "key: value"), ("\xff\xfe", "unknown|read|hold")],
)
def test_broken_files_are_named(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match=message):
        load_config([str(file)])


def test_what_is_shown_can_be_used_as_a_config(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--config", str(ROOT / "configs" / "smoke.yaml"), "show-config", "seed=5"]) == 0
    shown = capsys.readouterr().out
    file = tmp_path / "resolved.yaml"
    file.write_text(shown)
    assert load_config([str(file)]) == load_config([str(ROOT / "configs" / "smoke.yaml")], ["seed=5"])
    assert validate(yaml.safe_load(shown)).seed == 5


def sections(owner: object) -> list[object]:
    found = [owner]
    for item in fields(owner):
        value = getattr(owner, item.name)
        if is_dataclass(value):
            found += sections(value)
    return found


def test_every_field_has_a_docstring_and_is_read_somewhere() -> None:
    source = "\n".join(
        path.read_text()
        for path in (ROOT / "rayatari").rglob("*.py")
        if "config" not in path.relative_to(ROOT / "rayatari").parts[0]
    )
    for section in sections(Config()):
        for item in fields(section):
            assert f".{item.name}" in source or f'"{item.name}"' in source, (
                f"{section} {item.name} is never read"
            )
    for name in ["", *(item.name for item in fields(Config) if is_dataclass(getattr(Config(), item.name)))]:
        for key, _, doc in describe_fields(name):
            assert doc.endswith((".", ")", "``")) or len(doc) > 10, f"{name}.{key} has no docstring"


def test_configs_cross_processes() -> None:
    config = load_config([str(ROOT / "configs" / "smoke.yaml")])
    assert pickle.loads(pickle.dumps(config)) == config
