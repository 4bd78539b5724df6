"""Line: pictures that wait for their host, and the walkers that fetch them one after the other."""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable

from unclip_crawl.spider.throttle import site_name
from unclip_pairs.schema import Pair


class Line:
    """A queue for each host and port; as many walkers as it may be asked at once fetch what is in it."""

    def __init__(self, fetch: Callable[[Pair], Awaitable[None]], walkers_per_host: int) -> None:
        self.fetch = fetch
        self.walkers_per_host = walkers_per_host
        self.queues: dict[str, deque[Pair]] = {}
        self.walkers: Counter[str] = Counter()
        self.tasks: set[asyncio.Task[None]] = set()

    def put(self, pair: Pair) -> None:
        """Puts a picture at the end of its host's queue."""
        site = site_name(pair.url)
        self.queues.setdefault(site, deque()).append(pair)
        if self.walkers[site] < self.walkers_per_host:
            self.walkers[site] += 1
            task = asyncio.ensure_future(self._walk(site))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _walk(self, site: str) -> None:
        queue = self.queues[site]
        while queue:
            await self.fetch(queue.popleft())
        self.walkers[site] -= 1
