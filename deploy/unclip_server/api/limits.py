"""Rate limit: how many pictures a key may ask for within a minute."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_S = 60.0


@dataclass(frozen=True)
class RateLimit:
    """What is left after a request. `retry_after` is None when it passed, else the seconds until it would."""

    limit: int
    remaining: int
    reset_s: float
    retry_after: float | None

    @property
    def headers(self) -> dict[str, str]:
        """Both families that clients read: `requests`, which OpenAI documents, and `images`."""
        values = {"limit": str(self.limit), "remaining": str(self.remaining), "reset": f"{self.reset_s:.3f}s"}
        headers = {f"x-ratelimit-{name}-{unit}": value for unit in ("requests", "images") for name, value in values.items()}
        return headers if self.retry_after is None else headers | {"retry-after": str(max(1, math.ceil(self.retry_after)))}


class RateLimiter:
    """A sliding window of one minute for each key, in the memory of this process."""

    def __init__(self, images_per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        assert images_per_minute > 0
        self.limit, self.clock = images_per_minute, clock
        self._spent: dict[str, deque[tuple[float, int]]] = {}
        self._lock = threading.Lock()

    def take(self, key: str, pictures: int) -> RateLimit:
        """Books the pictures when they still fit into the minute; a request that does not fit books nothing."""
        with self._lock:
            now, spent = self.clock(), self._spent.setdefault(key, deque())
            while spent and spent[0][0] <= now - WINDOW_S:
                spent.popleft()
            used = sum(count for _, count in spent)
            fits = used + pictures <= self.limit
            if fits:
                spent.append((now, pictures))
                used += pictures
            reset = spent[-1][0] + WINDOW_S - now if spent else 0.0
            wait = None if fits else (self._wait(spent, used + pictures - self.limit, now) if pictures <= self.limit else WINDOW_S)
            return RateLimit(self.limit, max(0, self.limit - used), reset, wait)

    @staticmethod
    def _wait(spent: deque[tuple[float, int]], needed: int, now: float) -> float:
        """Seconds until `needed` pictures have left the window."""
        for at, count in spent:
            needed -= count
            if needed <= 0:
                return at + WINDOW_S - now
        return WINDOW_S
