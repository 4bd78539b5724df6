"""Host queues: pictures that wait for their host, and the workers that fetch them one after the other."""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable

from unclip_crawl.spider.throttle import site_name
from unclip_pairs.schema import Pair


class HostQueues:
    """A queue for each host and port; as many workers as it may be asked at once fetch what is in it."""

    def __init__(self, fetch: Callable[[Pair], Awaitable[None]], workers_per_host: int) -> None:
        self.fetch = fetch
        self.workers_per_host = workers_per_host
        self.queues: dict[str, deque[Pair]] = {}
        self.workers: Counter[str] = Counter()
        self.tasks: set[asyncio.Task[None]] = set()

    def put(self, pair: Pair) -> None:
        """Puts a picture at the end of its host's queue."""
        site = site_name(pair.url)
        self.queues.setdefault(site, deque()).append(pair)
        if self.workers[site] < self.workers_per_host:
            self.workers[site] += 1
            task = asyncio.ensure_future(self._work(site))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _work(self, site: str) -> None:
        queue = self.queues[site]
        while queue:
            await self.fetch(queue.popleft())
        self.workers[site] -= 1
