import os
import signal
from dataclasses import replace

import pytest

from rayatari.agent.checkpoints import latest_checkpoint, write_checkpoint
from rayatari.agent.interrupt import uninterrupted
from rayatari.agent.settings import check_resources, check_settings, resume_settings
from rayatari.config.agent import AgentConfig
from rayatari.config.schema import Config
from rayatari.errors import UserError


def test_the_defaults_are_sound():
    check_settings(replace(AgentConfig(), replay_capacity=50_000))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"n_step": 0}, "n_step"),
        ({"batch_size": 64, "learning_starts": 32}, "batch_size=64"),
        ({"learning_starts": 60_000}, "learning_starts=60000"),
        ({"learning_starts": 40, "envs": 8}, "learning_starts=40"),
        ({"steps": 5_000}, "steps=5000"),
        ({"gamma": 1.5}, "gamma"),
        ({"epsilon_end": -0.1}, "epsilon_end"),
        ({"train_every": 0.0}, "train_every"),
        ({"lr": 0.0}, "lr"),
        ({"channels": (32, 0, 64)}, "channels"),
        ({"replay_alpha": -1.0}, "replay_alpha"),
        ({"temperature_end": -0.5}, "temperature_end"),
        ({"runners": -1}, "runners"),
        ({"learners": 3}, "divided"),
        ({"policies": 0}, "policies"),
        ({"munchausen": True}, "agent.double=false"),
        ({"munchausen": True, "double": False, "distribution": "c51"}, "none, qr or iqn"),
        ({"munchausen_floor": 0.5}, "munchausen_floor"),
        ({"munchausen_temperature": 0.0}, "munchausen_temperature"),
        ({"error": "squared", "distribution": "qr"}, "leave agent.error out"),
        ({"exploration": "greedy"}, "agent.noisy=true"),
        ({"exploration": "boltzmann", "epsilon_ladder": 7.0}, "set it to 0"),
        ({"value_min": 3.0, "value_max": 3.0}, "value_min=3 must lie below"),
        ({"atoms": 1}, "atoms"),
        ({"quantiles": 0}, "quantiles"),
        ({"iqn_samples": 0}, "iqn_samples"),
        ({"noisy_sigma": 0.0}, "noisy_sigma"),
        ({"rnd": True, "rnd_share": 0.1, "envs": 8}, "rnd_share=0.1 of 8 games"),
        ({"rnd": True, "teacher": "intercept"}, "agent.rnd=false"),
        ({"teacher": "intercept", "teacher_share": 1.5}, "teacher_share"),
        ({"rnd_alpha_end": 2.0}, "rnd_alpha_end"),
        ({"living_penalty": -1.0}, "living_penalty"),
        ({"replay_capacity": 10**12}, "memory"),
    ],
)
def test_contradicting_settings_are_named(changes, named):
    sound = replace(AgentConfig(), replay_capacity=50_000)
    with pytest.raises(UserError, match=named):
        check_settings(replace(sound, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"munchausen": True, "double": False, "distribution": "iqn"},
        {"noisy": True, "exploration": "greedy", "distribution": "c51"},
        {"rnd": True, "exploration": "greedy", "rnd_share": 0.125, "envs": 8},
        {"rnd": True, "exploration": "boltzmann"},
        {"teacher": "intercept", "teacher_share": 0.0, "distribution": "qr"},
        {"error": "squared"},
    ],
)
def test_what_goes_together_is_accepted(changes):
    check_settings(replace(AgentConfig(), replay_capacity=50_000, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"distribution": "qr"},
        {"noisy": True},
        {"rnd": True},
    ],
)
def test_a_checkpoint_of_another_kind_of_network_cannot_be_resumed(changes):
    old, new = resume_settings(Config()), resume_settings(Config(agent=AgentConfig(**changes)))
    assert [key for key in new if old[key] != new[key]] == [f"agent.{next(iter(changes))}"]


def test_more_workers_than_the_cluster_has_are_refused():
    check_resources(AgentConfig(runners=2), cpus=2, gpus=0)
    with pytest.raises(UserError, match=r"runners \+ agent.learners = 3"):
        check_resources(AgentConfig(runners=3), cpus=2, gpus=0)
    with pytest.raises(UserError, match="GPU"):
        check_resources(AgentConfig(gpus_per_learner=1), cpus=2, gpus=0)


def save_text(text):
    def save(path):
        (path / "part").mkdir()
        (path / "part" / "state").write_text(text)

    return save


def test_only_the_latest_checkpoint_stays(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    write_checkpoint(tmp_path, 90, {"seconds": 1.5}, save_text("old"))
    write_checkpoint(tmp_path, 100, {"seconds": 2.5}, save_text("new"))
    checkpoint = latest_checkpoint(tmp_path)
    assert checkpoint is not None
    assert (checkpoint.step, checkpoint.record) == (100, {"seconds": 2.5})
    assert (checkpoint.path / "part" / "state").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["step-100"]


def test_a_checkpoint_whose_writing_fails_leaves_the_one_before(tmp_path):
    write_checkpoint(tmp_path, 90, {}, save_text("old"))

    def full_disk(path):
        (path / "state").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_checkpoint(tmp_path, 100, {}, full_disk)
    assert [path.name for path in tmp_path.iterdir()] == ["step-90"]
    checkpoint = latest_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.step == 90


def test_what_a_kill_left_half_written_is_ignored(tmp_path):
    write_checkpoint(tmp_path, 90, {}, save_text("whole"))
    (tmp_path / ".unfinished").mkdir()
    (tmp_path / ".unfinished" / "state").write_text("half")
    checkpoint = latest_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.step == 90
    write_checkpoint(tmp_path, 100, {}, save_text("next"))
    assert [path.name for path in tmp_path.iterdir()] == ["step-100"]


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "record"])
def test_a_damaged_checkpoint_is_refused(tmp_path, damage):
    write_checkpoint(tmp_path, 90, {}, save_text("whole"))
    state = tmp_path / "step-90" / "part" / "state"
    if damage == "flip":
        state.write_text("wholf")
    elif damage == "truncate":
        state.write_text("who")
    elif damage == "remove":
        state.unlink()
    else:
        (tmp_path / "step-90" / "checkpoint.json").write_text("{")
    with pytest.raises(UserError, match="remove the folder"):
        latest_checkpoint(tmp_path)


def test_an_interrupt_waits_for_the_end_of_the_work():
    done = []
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        os.kill(os.getpid(), signal.SIGINT)
        done.append("work")
    assert done == ["work"]


def test_a_second_interrupt_does_not_wait():
    done = []
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        done.append("work")
    assert done == []


def test_signals_are_handled_as_before_afterwards():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with uninterrupted():
        pass
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
