"""All sessions of one replica: who may come in, who goes on, what is kept of those who left."""

import asyncio
import hmac
import logging
import re
import secrets
import time
from typing import Any, Protocol

from rayatari import __version__
from rayatari.config.serve import ServeConfig
from rayatari.protocol import MODES, VERSION, Close, ErrorMessage, Hello, Welcome
from rayatari.serve.arcade import Arcade, set_threads
from rayatari.serve.batcher import Batcher
from rayatari.serve.metrics import Metrics
from rayatari.serve.seat import Seat
from rayatari.serve.session import Session
from rayatari.serve.snapshot import load_session, save_session

_LOG = logging.getLogger("rayatari.serve")
SERVER = f"rayatari {__version__}"


class RefusalError(Exception):
    """A hello that is not accepted."""

    def __init__(self, code: Close, error: str, remedy: str) -> None:
        super().__init__(error)
        self.message = ErrorMessage(code, error, remedy)


class Store(Protocol):
    """Keeps snapshots outside of the replica."""

    async def keep(self, snapshots: dict[str, bytes]) -> list[str]:
        """Keep these by session token; returns the tokens of sessions that another replica has taken over."""

    async def claim(self, token: str) -> bytes | None:
        """The snapshot of a session, which belongs to this replica from now on."""

    async def forget(self, token: str) -> None:
        """Drop it."""


class NoStore:
    """For a server whose sessions need not outlive it."""

    async def keep(self, snapshots: dict[str, bytes]) -> list[str]:
        """Keep nothing."""
        return []

    async def claim(self, token: str) -> bytes | None:
        """Know nothing."""
        return None

    async def forget(self, token: str) -> None:
        """Nothing to forget."""


class Hub:
    """The sessions of one replica."""

    def __init__(self, arcade: Arcade, config: ServeConfig, store: Store, replica: str = "0") -> None:
        self.arcade, self.config, self.store = arcade, config, store
        self.seats: dict[str, Seat] = {}
        self._parked: dict[str, tuple[Session, float]] = {}
        self._saved: dict[str, int] = {}
        self._draining = False
        self.metrics = Metrics(replica, lambda: len(self.seats))
        self.batcher = Batcher(arcade, self.metrics, lambda: set_threads(config.threads))
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to play; call it inside a running event loop."""
        loops = (self.batcher.run(), self._snapshot_now_and_then(), self._look_round())
        self._tasks = [asyncio.get_running_loop().create_task(loop) for loop in loops]

    async def warm_up(self) -> None:
        """Step each game in some batch sizes, so that no player waits for a first time."""
        await self.batcher.between_batches(self.arcade.warm_up)

    @property
    def healthy(self) -> bool:
        """Whether all of its loops still run."""
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    def describe(self) -> dict[str, Any]:
        """The answer of ``/games``."""
        return {
            "version": VERSION,
            "server": SERVER,
            "modes": list(MODES),
            "token": bool(self.config.token),
            "games": [cabinet.describe() for cabinet in self.arcade.cabinets.values()],
            "limits": {**self._limits(), "sessions": self.config.sessions},
        }

    def _limits(self) -> dict[str, float]:
        names = (
            "message_bytes", "messages_per_second", "waiting", "idle_s", "resume_s", "window", "slow_s",
        )  # fmt: skip
        return {name: getattr(self.config, name) for name in names}

    def knows_token(self, token: str) -> bool:
        """Whether ``token`` is the access token, or none is needed."""
        return not self.config.token or hmac.compare_digest(token.encode(), self.config.token.encode())

    async def open(self, hello: Hello) -> tuple[Seat, Welcome]:
        """Seat a player; RefusalError says why not."""
        if not self.knows_token(hello.token):
            raise RefusalError(
                Close.UNAUTHORIZED, "the access token is missing or wrong", "send it in the hello"
            )
        if self._draining:
            raise RefusalError(Close.GOING_AWAY, "the server is going away", "connect again in a moment")
        if len(self.seats) >= self.config.sessions and hello.resume not in self.seats:
            text = f"all {self.config.sessions} sessions are taken"
            raise RefusalError(Close.BUSY, text, "try again in some seconds")
        session = await self._resume(hello.resume) if hello.resume else self._begin(hello)
        cabinet = self.arcade.cabinets[session.game]
        rate = (hello.fps or 60 / cabinet.world.frame_skip) if hello.mode == "realtime" else 0.0
        agent = cabinet.policy.name if cabinet.policy else ""
        seat = Seat(
            session, self.config, self.metrics, rate, len(cabinet.world.action_names), agent,
            self.batcher.wake,
        )  # fmt: skip
        self.seats[session.token] = seat
        return seat, self._welcome(seat, hello)

    def _begin(self, hello: Hello) -> Session:
        game = hello.game or next(iter(self.arcade.cabinets))
        if game not in self.arcade.cabinets:
            known = ", ".join(self.arcade.cabinets)
            raise RefusalError(Close.UNKNOWN_GAME, f"no game '{game[:40]}' here", f"choose one of: {known}")
        seed = secrets.randbits(32) if hello.seed is None else hello.seed
        heat = self.config.temperature if hello.temperature is None else hello.temperature
        return Session(game, seed, float(heat))

    async def _resume(self, token: str) -> Session:
        stored = await self.store.claim(token) if re.fullmatch("[0-9a-f]{32}", token) else None
        sessions = [load_session(stored)] if stored else []
        if token in self._parked:
            sessions.append(self._parked.pop(token)[0])
        if token in self.seats:
            seat = self.seats.pop(token)
            self.batcher.leave(seat)
            seat.end(Close.TAKEN_OVER, "another connection resumed this session", "play on there")
            sessions.append(seat.session)
        fitting = [session for session in sessions if self.arcade.can_play(session)]
        if not fitting:
            raise RefusalError(Close.UNKNOWN_SESSION, "this session is gone", "begin a new one")
        session = max(fitting, key=lambda session: session.turns)
        session.inbox.clear()
        return session

    def _welcome(self, seat: Seat, hello: Hello) -> Welcome:
        session = seat.session
        cabinet = self.arcade.cabinets[session.game]
        facts: dict[str, Any] = {**cabinet.describe(), **cabinet.colours()}
        facts["fps"] = seat.fps or facts["fps"]
        return Welcome(
            session=session.token,
            resumed=bool(hello.resume),
            game=facts.pop("name"),
            mode=hello.mode,
            seed=session.seed,
            temperature=session.temperature,
            keymap=dict(cabinet.spec.keymap),
            limits=self._limits(),
            server=SERVER,
            **facts,
        )

    async def leave(self, seat: Seat, ended: bool) -> None:
        """A connection is gone: forget its session if the client ``ended`` it, else keep it for a while."""
        self.batcher.leave(seat)
        session = seat.session
        if self.seats.get(session.token) is not seat:
            return
        del self.seats[session.token]
        self._saved.pop(session.token, None)
        if ended:
            await self.store.forget(session.token)
        elif session.loose is not None:
            self._parked[session.token] = (session, time.monotonic())
            await self._save([session])

    async def drain(self) -> None:
        """Send everybody away, with a reason, and keep their sessions."""
        self._draining = True
        for seat in self.seats.values():
            seat.end(Close.GOING_AWAY, "the server is going away", "connect again and resume")
        deadline = time.monotonic() + 2
        while self.seats and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    async def _save(self, sessions: list[Session]) -> None:
        """Snapshot what has changed and hand it to the store."""
        changed = [s for s in sessions if s.loose is not None and self._saved.get(s.token) != s.turns]
        if not changed:
            return
        snapshots = await self.batcher.between_batches(lambda: {s.token: save_session(s) for s in changed})
        assert isinstance(snapshots, dict)
        self._saved.update({s.token: s.turns for s in changed if s.token in self.seats})
        for token in await self.store.keep(snapshots):
            self._parked.pop(token, None)
            if token in self.seats:
                self.seats[token].end(Close.TAKEN_OVER, "this session was resumed elsewhere", "play on there")

    async def _snapshot_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self.config.snapshot_s)
            try:
                await self._save([seat.session for seat in self.seats.values()])
            except Exception:  # the store may be restarting; the next round tries again
                _LOG.warning("snapshots were not kept", exc_info=True)
                self._saved.clear()

    async def _look_round(self) -> None:
        """Every half second: silent and slow players, and sessions that nobody came back to."""
        while True:
            await asyncio.sleep(0.5)
            now = time.monotonic()
            for seat in self.seats.values():
                seat.check(now)
            for token, (_, since) in list(self._parked.items()):
                crowded = len(self._parked) > 4 * self.config.sessions
                if crowded or now - since > self.config.resume_s:
                    del self._parked[token]
