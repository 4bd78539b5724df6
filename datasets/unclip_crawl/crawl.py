"""Crawl in a process of its own, watched from here."""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import IO, Any

from unclip_crawl.journal.completion import finished, manifest_name
from unclip_crawl.settings import CrawlSettings
from unclip_crawl.sources.inputs import checked_inputs
from unclip_pairs.errors import UserError
from unclip_pairs.manifest import Manifest, read_manifest
from unclip_pairs.progress import Progress, silent
from unclip_pairs.store import Store

LOG_TAIL = 2000
GRACE_S = 60.0


def crawl(store: Store, settings: CrawlSettings, progress: Progress | None = None) -> Manifest:
    """Fetches the batch into `crawl/<batch>/` and gives its manifest; what earlier runs fetched is kept, only what is missing is fetched.

    `progress(done, total, message)` is called at most twice a second; total is None while pages are still being found.
    `UserError` for a broken list, a full disk, a batch that another process is crawling.
    """
    report = progress or silent
    inputs = checked_inputs(settings)
    manifest = finished(store, settings, inputs)
    if manifest is None or settings.retry_failed:
        _run(store, settings, inputs, report)
        manifest = read_manifest(store, manifest_name(settings.batch))
        assert manifest is not None
    rows = int(manifest.counts["rows"])
    report(rows, rows, f"{manifest.counts.get('ok', 0)} pictures stored, {rows} addresses settled")
    return manifest


def _run(store: Store, settings: CrawlSettings, inputs: dict[str, str], report: Progress) -> None:
    """Starts the crawl process, passes its progress on and waits; the process ends by itself when this one does."""
    command = [sys.executable, "-m", "unclip_crawl", "--store", str(store.root.resolve()), "--settings", "-"]
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps({"settings": settings.as_json(), "inputs": inputs}).encode() + b"\n")
                process.stdin.flush()
            message = _watched(process.stdout, report)
            process.wait(GRACE_S)
        finally:
            _end(process)
        _explain(process.returncode, message, log)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Closes the pipe, which tells the process to stop, and makes sure that it does."""
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.stdin = None
    try:
        process.wait(GRACE_S if process.poll() is None else None)
    except subprocess.TimeoutExpired:
        process.kill()


def _answers(stdout: IO[bytes]) -> Iterator[dict[str, Any]]:
    for line in stdout:
        with contextlib.suppress(ValueError):
            answer = json.loads(line)
            if isinstance(answer, dict):
                yield answer


def _watched(stdout: IO[bytes], report: Progress) -> str | None:
    """Passes progress on until the process closes its output; the user error it ended with, if any."""
    error, last = None, 0.0
    for answer in _answers(stdout):
        if "error" in answer:
            error = str(answer["error"])
        elif time.monotonic() - last >= 0.5:
            last = time.monotonic()
            report(answer["done"], answer["total"], answer["message"])
    return error


def _explain(code: int, error: str | None, log: IO[bytes]) -> None:
    if error is not None:
        raise UserError(error)
    if code != 0:
        log.seek(0)
        tail = log.read()[-LOG_TAIL:].decode("utf-8", "replace").strip()
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        raise RuntimeError(f"the crawl process {how}; what it fetched is kept, run it again to go on\n{tail}".rstrip())
