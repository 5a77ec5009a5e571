"""Turns of all sessions, taken together: one batch at a time, in one thread beside the event loop."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from rayatari.protocol import Close
from rayatari.serve.arcade import Arcade
from rayatari.serve.clock import Clock
from rayatari.serve.metrics import Metrics
from rayatari.serve.seat import Seat
from rayatari.serve.session import Kind, Session, Turn

_LOG = logging.getLogger("rayatari.serve")
_GATHER_SHARE, _GATHER_MOST_S = 0.2, 0.004
"""How long a batch waits for lockstep players of the last one: a share of its time, and at most."""

_AT_ONCE_S = 0.012
"""A lone turn as short as this is taken in the event loop."""
_LOOPS_TO_SEND = 3
"""Rounds of the event loop in which a delivered frame gets to its socket."""


class Batcher:
    """Steps every session that is due in one batch. Sessions join and leave between two batches."""

    def __init__(self, arcade: Arcade, metrics: Metrics, prepare: Callable[[], None]) -> None:
        self.arcade, self.metrics = arcade, metrics
        self.seats: set[Seat] = set()
        self._clocks: dict[float, Clock] = {}
        self._wake = asyncio.Event()
        # OpenMP counts its threads for each calling thread: what prepares the model's runs in it.
        prepare()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model", initializer=prepare)
        self._errands: list[tuple[Callable[[], object], asyncio.Future[object]]] = []
        self._last: list[Seat] = []
        self._last_s = 0.0

    def join(self, seat: Seat) -> None:
        """Play the session of ``seat`` from the next batch on."""
        if seat.fps:
            self._clocks.setdefault(seat.fps, Clock(seat.fps, time.monotonic()))
        self.seats.add(seat)
        self._wake.set()

    def leave(self, seat: Seat) -> None:
        """Play it no longer; a turn that is being taken is finished, and its frame is lost."""
        self.seats.discard(seat)
        used = {other.fps for other in self.seats}
        self._clocks = {fps: clock for fps, clock in self._clocks.items() if fps in used}

    def wake(self) -> None:
        """Say that a message is in line."""
        self._wake.set()

    def between_batches(self, errand: Callable[[], object]) -> Awaitable[object]:
        """Run ``errand`` in the model's thread while no turn is being taken."""
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._errands.append((errand, done))
        self._wake.set()
        return done

    async def run(self) -> None:
        """Take turns until cancelled; what its thread is at then is finished first."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._wake.clear()
                while self._errands:
                    errand, done = self._errands.pop()
                    await self._run_errand(loop, errand, done)
                await self._gather()
                taken = self._collect(time.monotonic())
                if taken:
                    await self._take(loop, taken)
                else:
                    await self._rest()
        finally:
            self._thread.shutdown()

    async def _run_errand(
        self, loop: asyncio.AbstractEventLoop, errand: Callable[[], object], done: "asyncio.Future[object]"
    ) -> None:
        try:
            result = await loop.run_in_executor(self._thread, errand)
        except Exception as error:  # its owner, not the batcher, has to deal with it
            if not done.cancelled():
                done.set_exception(error)
        else:
            if not done.cancelled():
                done.set_result(result)

    async def _gather(self) -> None:
        """Wait a little for the other lockstep players of the last batch, lest two half batches form."""
        deadline = time.monotonic() + min(_GATHER_SHARE * self._last_s, _GATHER_MOST_S)
        last = [seat for seat in self._last if seat in self.seats and not seat.fps]
        self._last = []
        while any(seat.session.inbox for seat in last) and not all(seat.session.inbox for seat in last):
            left = deadline - time.monotonic()
            if left <= 0 or not await self._wait(left):
                break
            self._wake.clear()

    def _collect(self, now: float) -> list[tuple[Seat, Turn]]:
        due = {fps for fps, clock in self._clocks.items() if clock.due(now)}
        taken = []
        for seat in self.seats:
            turn = seat.next_turn(seat.fps in due)
            if turn is not None:
                taken.append((seat, turn))
        return taken

    async def _take(self, loop: asyncio.AbstractEventLoop, taken: Sequence[tuple[Seat, Turn]]) -> None:
        started = time.monotonic()
        try:
            turns = [turn for _, turn in taken]
            if self._at_once(turns):
                self.arcade.take(turns)
            else:
                await loop.run_in_executor(self._thread, self.arcade.take, turns)
        except Exception:  # any fault of the model: the players are told, the server goes on
            _LOG.exception("a batch of %d turns failed", len(taken))
            for seat, _ in taken:
                seat.end(Close.FAULT, "the server failed at this step", "connect again to resume")
            return
        self._last_s = time.monotonic() - started
        self._last = [seat for seat, _ in taken]
        self.metrics.step_seconds.observe(self._last_s)
        self.metrics.batch_size.observe(len(taken))
        for seat, turn in taken:
            seat.deliver(turn)
        await self._look_ahead(loop, [turn.session for _, turn in taken if turn.kind is Kind.STEP])

    def _at_once(self, batch: Sequence[object]) -> bool:
        """Whether to stay in the event loop: for a lone short turn a change of threads costs more."""
        return len(batch) == 1 and 0 < self._last_s < _AT_ONCE_S

    async def _look_ahead(self, loop: asyncio.AbstractEventLoop, sessions: Sequence[Session]) -> None:
        """While frames travel and players think, begin what does not depend on their actions."""
        for _ in range(_LOOPS_TO_SEND):
            await asyncio.sleep(0)
        started = time.monotonic()
        try:
            if self._at_once(sessions):
                self.arcade.look_ahead(sessions)
            elif sessions:
                await loop.run_in_executor(self._thread, self.arcade.look_ahead, sessions)
        except Exception:  # the next step will meet the same fault, and tell the players
            _LOG.exception("looking ahead for %d sessions failed", len(sessions))
        self.metrics.look_seconds.observe(time.monotonic() - started)

    async def _rest(self) -> None:
        ticking = {seat.fps for seat in self.seats if seat.session.ticking}
        following = [clock.next for fps, clock in self._clocks.items() if fps in ticking]
        await self._wait(min(following) - time.monotonic() if following else None)

    async def _wait(self, seconds: float | None) -> bool:
        """Wait to be woken, at most ``seconds``; whether that happened."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True
