"""Where snapshots of sessions lie: one for all replicas, in an actor of its own. Plain Python."""

import time


class Vault:
    """Snapshots by session token. Each belongs to the replica that claimed it last."""

    def __init__(self, keep_s: float, most: int = 4096) -> None:
        self._keep_s, self._most = keep_s, most
        self._items: dict[str, tuple[str, bytes, float]] = {}

    def keep(self, owner: str, snapshots: dict[str, bytes]) -> list[str]:
        """Keep the snapshots of ``owner``; returns the tokens that belong to another by now."""
        lost = [token for token in snapshots if self._owner(token) not in (None, owner)]
        now = time.monotonic()
        for token in snapshots.keys() - set(lost):
            self._items.pop(token, None)  # the order of the items is that of their age
            self._items[token] = (owner, snapshots[token], now)
        while self._items:
            oldest = next(iter(self._items))
            if len(self._items) <= self._most and now - self._items[oldest][2] <= self._keep_s:
                break
            del self._items[oldest]
        return lost

    def claim(self, owner: str, token: str) -> bytes | None:
        """Make a snapshot ``owner``'s and return it; None when there is none."""
        if token not in self._items:
            return None
        _, data, _ = self._items.pop(token)
        self._items[token] = (owner, data, time.monotonic())
        return data

    def forget(self, token: str) -> None:
        """Drop a snapshot, if it is there."""
        self._items.pop(token, None)

    def _owner(self, token: str) -> str | None:
        return self._items[token][0] if token in self._items else None
