"""Intake: the bytes of a picture, from the web, a folder or a shard, are decoded, checked and put into the journal."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from unclip_crawl.consent import DATA_MINING
from unclip_crawl.journal.journal import Journal
from unclip_crawl.pictures.hash_list import HashList
from unclip_crawl.pictures.prepare import prepare
from unclip_crawl.settings import CrawlSettings
from unclip_crawl.sources.tar_shards import Original, ShardSample
from unclip_crawl.spider.client import Answer
from unclip_crawl.spider.errors import http_status
from unclip_crawl.spider.frontier import Frontier
from unclip_crawl.spider.politeness import Politeness
from unclip_pairs.images import DecodeError
from unclip_pairs.schema import Pair

DECODERS = 2
MEDIA = {"jpg": "image/jpeg"}


class Intake:
    """Takes pictures in, each one settled in the frontier and recorded in the journal, stored or with the reason why not."""

    def __init__(
        self, settings: CrawlSettings, journal: Journal, frontier: Frontier, politeness: Politeness, hash_list: HashList | None
    ) -> None:
        self.settings = settings
        self.journal = journal
        self.frontier = frontier
        self.politeness = politeness
        self.hash_list = hash_list
        self.decoders = ThreadPoolExecutor(DECODERS, "decode")

    async def take_answer(self, pair: Pair, answer: Answer) -> None:
        """Takes what came back from the picture's address."""
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower() or None
        if answer.status != 200:
            self.frontier.settle(pair, http_status(answer.status), f"HTTP {answer.status}", kind)
            return
        client, size = self.politeness.client, len(answer.body)
        client.undecoded += size
        try:
            await self._store(pair, answer.body, kind)
        finally:
            client.undecoded -= size

    async def take_file(self, pair: Pair, path: Path) -> None:
        """Takes a picture from a folder."""
        if self.frontier.is_known(pair):
            return
        self.frontier.pending[pair.key] = pair
        try:
            size = path.stat().st_size
            if size > self.settings.max_bytes:
                self.frontier.settle(pair, "too_large", f"{size} bytes are more than {self.settings.max_bytes}")
                return
            await self._store(pair, path.read_bytes(), None)
        except OSError as error:
            self.frontier.settle(pair, "disk_error", str(error))

    async def take_sample(self, sample: ShardSample, is_missing: bool) -> None:
        """Takes a shard's sample; `is_missing` says that an earlier run had it and lost it, so that its address is no repetition."""
        pair, takedowns = sample.pair, self.politeness.takedowns
        if self.frontier.is_known(pair):
            return
        taken = takedowns.forbids(pair.url) or ("taken down by its key" if pair.key in takedowns.keys else None)
        is_repeated = pair.url in self.journal.urls and not is_missing
        self.frontier.begin(pair)
        if taken is not None:
            self.frontier.settle(pair, "taken_down", taken)
        elif is_repeated:
            self.frontier.settle(pair, "duplicate_url", "the same address under another caption")
        elif sample.failure is not None:
            self.frontier.settle(pair, *sample.failure)
        else:
            await self._store(pair, sample.data, MEDIA.get(sample.extension, f"image/{sample.extension}"), sample.original)

    async def _store(self, pair: Pair, data: bytes, kind: str | None, original: Original | None = None) -> None:
        """Decodes and shrinks in a thread, so that the network goes on meanwhile. `original` is what a shard says of the original."""
        loop = asyncio.get_running_loop()
        known: Original = original or {}
        try:
            prepared = await loop.run_in_executor(self.decoders, prepare, data, self.settings.bounds, self.hash_list)
        except DecodeError as error:
            self.frontier.settle(pair, error.reason, error.detail, kind, len(data))
            return
        digests = {prepared.sha256, known.get("sha256", prepared.sha256)}
        prepared = replace(prepared, **known)
        if DATA_MINING in self.settings.marks and prepared.rights.opt_out is not None:
            self.frontier.settle(pair, "opt_out", prepared.rights.opt_out, kind, len(data))
        elif digests & self.politeness.takedowns.sha256:
            self.frontier.settle(pair, "taken_down", "the same bytes were taken down by request", kind, len(data))
        elif self.frontier.pending.pop(pair.key, None) is not None:
            self.journal.add_picture(pair, prepared, kind)
