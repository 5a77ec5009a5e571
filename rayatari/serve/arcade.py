"""The games of a server and the agents that can play them; takes the turns of many sessions at once."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rayatari.agent.policy import KIND as POLICY_KIND
from rayatari.agent.policy import Policy, load_policy
from rayatari.agent.view_stack import STACK
from rayatari.checkpoint import is_finished, read_card
from rayatari.config.schema import Config
from rayatari.errors import UserError
from rayatari.games.agent_view import agent_view
from rayatari.games.catalog import get_game
from rayatari.games.palette import RGB
from rayatari.models.neural_game import LooseGame, NeuralGame
from rayatari.paths import SHIPPED, shipped_agent, shipped_games, stage_dir
from rayatari.protocol import pack_frame
from rayatari.serve.session import Kind, Session, Turn


class Cabinet:
    """One game that is served, with its agent if it has one."""

    def __init__(self, world: NeuralGame, policy: Policy | None) -> None:
        self.world, self.policy = world, policy
        self.spec = get_game(world.game)
        self._class_of: NDArray[np.uint8] = np.zeros(256, np.uint8)
        self._class_of[list(world.palette)] = np.arange(len(world.palette))
        if policy is not None and set(policy.action_names) - set(world.action_names):
            raise UserError(
                f"the agent {policy.name} has actions that {world.game} lacks: name one with serve.agents"
            )

    def describe(self) -> dict[str, object]:
        """What a client must know of the game, as ``/games`` and the welcome tell it."""
        facts = self.world.facts
        return {
            "name": self.spec.name,
            "title": self.spec.title,
            "actions": list(facts.action_names),
            "height": facts.frame_shape[0],
            "width": facts.frame_shape[1],
            "frame_skip": facts.frame_skip,
            "fps": 60 / facts.frame_skip,
            "max_lives": facts.max_lives,
            "agent": self.policy.name if self.policy else "",
        }

    def colours(self) -> dict[str, list[int] | list[list[int]]]:
        """Palette byte and RGB of each pixel value."""
        palette = list(self.world.palette)
        return {"palette": palette, "rgb": RGB[palette].tolist()}

    def take(self, turns: Sequence[Turn]) -> None:
        """Take one turn of each session, those that step in one batch; fills ``message`` of each."""
        begun = [turn for turn in turns if turn.kind is Kind.BEGIN]
        stepped = [turn for turn in turns if turn.kind is Kind.STEP]
        started = time.perf_counter()
        if begun:
            self._begin([turn.session for turn in begun])
        rewards = dict(zip(map(id, stepped), self._step(stepped), strict=True)) if stepped else {}
        elapsed_ms = (time.perf_counter() - started) * 1e3
        for turn in turns:
            spent = 0.0 if turn.kind is Kind.SHOW else elapsed_ms
            turn.message = pack_frame(turn.frame(rewards.get(id(turn), 0.0), spent))

    def look_ahead(self, sessions: Sequence[Session]) -> None:
        """Do what the next steps of these sessions need before they know their actions."""
        self.world.gather([_loose(session) for session in sessions])
        self.world.look_ahead()
        for session, loose in zip(sessions, self.world.scatter(), strict=True):
            session.loose = loose

    def _begin(self, sessions: Sequence[Session]) -> None:
        frames = self.world.reset([session.seed for session in sessions])
        lives = self.world.lives()
        for index, (session, loose) in enumerate(zip(sessions, self.world.scatter(), strict=True)):
            session.loose, session.frame = loose, self._classes(frames[index])
            session.lives, session.score, session.step = int(lives[index]), 0.0, 0
            session.terminated, session.action = False, 0

    def _step(self, turns: Sequence[Turn]) -> list[float]:
        """Play one step of each; returns the rewards."""
        self._let_the_agent_choose([turn for turn in turns if turn.session.agent])
        sessions = [turn.session for turn in turns]
        self.world.gather([_loose(s) for s in sessions], [s.temperature for s in sessions])
        step = self.world.step([turn.action for turn in turns])
        for index, (session, loose) in enumerate(zip(sessions, self.world.scatter(), strict=True)):
            session.loose, session.frame = loose, self._classes(step.frames[index])
            session.lives = int(step.lives[index])
            session.score += float(step.rewards[index])
            session.step += 1
            session.terminated = bool(step.terminated[index])
        return [float(reward) for reward in step.rewards]

    @torch.inference_mode()
    def _let_the_agent_choose(self, turns: Sequence[Turn]) -> None:
        if not turns or self.policy is None:
            return
        pasts = torch.stack([_loose(turn.session).past_THW for turn in turns])
        views = agent_view(self.world.model.world.codec.decode(pasts))[:, -STACK:]
        missing = STACK - views.shape[1]
        values = self.policy.q_values(np.concatenate([views[:, :1].repeat(missing, 1), views], 1))
        for turn, chosen in zip(turns, values.argmax(1), strict=True):
            turn.action = self.world.action_names.index(self.policy.action_names[chosen])

    def _classes(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return self._class_of[frame]


def _loose(session: Session) -> LooseGame:
    assert session.loose is not None
    return session.loose


class Arcade:
    """All games of a server by name, in the order in which they were named."""

    def __init__(self, cabinets: Sequence[Cabinet]) -> None:
        self.cabinets = {cabinet.spec.name: cabinet for cabinet in cabinets}

    def take(self, turns: Sequence[Turn]) -> None:
        """Take the turns of all sessions, one batch a game."""
        for name, cabinet in self.cabinets.items():
            own = [turn for turn in turns if turn.session.game == name]
            if own:
                cabinet.take(own)

    def look_ahead(self, sessions: Sequence[Session]) -> None:
        """Use the time until the next turns of these sessions, whose games have begun."""
        for name, cabinet in self.cabinets.items():
            own = [session for session in sessions if session.game == name and not session.terminated]
            if own:
                cabinet.look_ahead(own)

    def can_play(self, session: Session) -> bool:
        """Whether the session is of a game that is served, with a past that its model can look at."""
        cabinet = self.cabinets.get(session.game)
        if cabinet is None or session.loose is None:
            return False
        world, earlier = cabinet.world, session.loose.earlier_M
        if earlier is not None and len(earlier) != world.action_history:
            return False
        return tuple(session.loose.past_THW.shape) == (world.history, *world.model.world.codec.padded_shape)

    def warm_up(self, batches: Sequence[int] = (1, 2, 4, 8)) -> None:
        """Step each game once in batches of these sizes, so that no player waits for a first time."""
        for cabinet in self.cabinets.values():
            for size in batches:
                cabinet.world.reset(range(size))
                cabinet.world.step([0] * size)


def open_arcade(config: Config) -> Arcade:
    """Load what ``config.serve`` names; UserError when something is missing, damaged or named twice."""
    device = config.serve.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("serve.device=cuda, but torch sees no GPU: use device=auto or device=cpu")
    worlds: dict[str, NeuralGame] = {}
    for folder in bundle_folders(config):
        world = NeuralGame.load(folder, device)
        if world.game in worlds:
            raise UserError(f"two bundles of {world.game} are named: keep one of them in serve.bundles")
        worlds[world.game] = world
    policies: dict[str, Policy] = {}
    for folder in agent_folders(config):
        policy = load_policy(folder)
        game = read_card(folder, POLICY_KIND, "name another with serve.agents").game
        if game not in worlds:
            raise UserError(f"the agent in {folder} plays {game}, which is not served: name its bundle too")
        policies[game] = policy
    return Arcade([Cabinet(world, policies.get(game)) for game, world in worlds.items()])


def bundle_folders(config: Config) -> list[Path]:
    """The bundles to serve."""
    if config.serve.bundles:
        return [Path(folder) for folder in config.serve.bundles]
    own, shipped = stage_dir(config, "mapper"), shipped_games()
    if is_finished(own) or config.game not in shipped:
        return [own]
    return [SHIPPED / game for game in sorted(shipped, key=lambda game: game != config.game)]


def agent_folders(config: Config) -> list[Path]:
    """The policies that can take over."""
    if config.serve.agents:
        return [Path(folder) for folder in config.serve.agents]
    if config.serve.bundles:
        return []
    own = stage_dir(config, "agent")
    games = [config.game] if is_finished(stage_dir(config, "mapper")) else shipped_games()
    found = {game: shipped_agent(game) for game in games}
    if is_finished(own):
        found[config.game] = own
    return [folder for folder in found.values() if folder]


def set_threads(threads: int) -> None:
    """Give torch ``threads`` threads; 0 leaves one core to the network and to the players."""
    torch.set_num_threads(threads or max(1, (os.cpu_count() or 1) - 1))
