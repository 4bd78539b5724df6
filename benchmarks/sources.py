"""Does the extractor find every `<img>` pair in web archives, how fast, and in how much memory? WARC and WAT files are written with warcio,
with every oddity that archives have; lxml alone says what is in their pages (`peers/reference_pairs.py`).

`python benchmarks/sources.py [MEGABYTES]`: the size of each of the ten big files (default 100, plain WARC, all pages; 0 for none). Also the
WARC files that the sdists of pywb and Warcat hold, which pip fetches from PyPI; there warcio reads for the reference. Not with `--offline`.
"""

import gzip
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pyarrow.parquet import read_table
from warcio.archiveiterator import ArchiveIterator

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "sites"), str(HERE / "peers")]
import archived_web  # noqa: E402  # pyright: ignore[reportMissingImports]  # found beside this script
import reference_pairs  # noqa: E402  # pyright: ignore[reportMissingImports]

Pairs = set[tuple[str, str, str]]
SDISTS = ("pywb==2.10.0", "Warcat==2.2.5")
EXTRACT = "import sys; from unclip_crawl.archives.extract import extract; extract(sys.argv[2:], sys.argv[1])"
PEAK = "\nprint(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
WARCIO = (
    "import sys; sys.path.insert(0, sys.argv[1]); import reference_pairs; from warcio.archiveiterator import ArchiveIterator\n"
    "for record in ArchiveIterator(open(sys.argv[2], 'rb')):\n"
    "    reference_pairs.pairs(record.rec_headers.get_header('WARC-Target-URI'), record.content_stream().read().decode('utf-8', 'replace'))"
)


def run(*command: str) -> tuple[float, float]:
    """CPU seconds and peak megabytes of a process of its own. (`ru_maxrss` would count what this one held when it started the other.)"""
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", command[0] + PEAK, *command[1:]], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, float(told.splitlines()[-1]) / 1024


def extracted(out: Path, *files: Path) -> Pairs:
    """What our extractor finds."""
    out.unlink(missing_ok=True)
    run(EXTRACT, str(out), *map(str, files))
    columns = read_table(out, columns=["page_url", "url", "caption"]).to_pydict()
    return set(zip(columns["page_url"], columns["url"], columns["caption"], strict=True))


def compare(name: str, found: Pairs, true: Pairs, undecided: Pairs | None = None) -> tuple[int, int, int]:
    """True pairs, those found of them, and pairs found that are none; a line for each kind of file."""
    wrong = found - true - (undecided or set())
    missed = true - found
    print(f"{name:46} {len(true):>7} pairs, {len(missed)} missed, {len(wrong)} wrong")
    for pair in [*sorted(missed)[:2], *sorted(wrong)[:2]]:
        print("   ", "missed" if pair in missed else "wrong ", pair)
    return len(true), len(true & found), len(wrong)


def odd_pages(seed: int, count: int) -> list[archived_web.Document]:
    """Pages in all charsets and encodings."""
    rng = random.Random(seed)
    charsets = archived_web.CHARSETS
    return [
        archived_web.document(rng, f"http://site{number % 7}.example/dir/{number}.html", 40, charsets[number % len(charsets)])
        for number in range(count)
    ]


def truth(pages: list[archived_web.Document]) -> Pairs:
    return set[tuple[str, str, str]]().union(*(reference_pairs.pairs(page.url, page.text) for page in pages))


def odd_files(folder: Path) -> list[tuple[int, int, int]]:
    """Every oddity of the file itself, each in a file of its own."""
    pages = odd_pages(1, 400)
    records = [archived_web.warc_record(page) + archived_web.other_records(page.url) for page in pages]
    whole, last, rest = truth(pages), truth(pages[-1:]), truth(pages[:-1])
    by = [0, 60, 0, -3, 0, 5, 0, 100_000]
    wrong = [archived_web.wrong_length(archived_web.warc_record(page), by[number % 8]) for number, page in enumerate(pages)]
    members = [gzip.compress(record) for record in records]
    hurt = bytearray(members[200])
    hurt[len(hurt) // 2 : len(hurt) // 2 + 40] = bytes(40)
    cases: list[tuple[str, bytes, Pairs, Pairs]] = [
        ("gzip per record", b"".join(members), whole, set()),
        ("plain", b"".join(records), whole, set()),
        ("gzip as a whole", gzip.compress(b"".join(records)), whole, set()),
        ("cut in the last page, gzip per record", b"".join(members)[: -len(members[-1]) // 2], rest, last),
        ("cut in the last page, plain", b"".join(records)[: -len(records[-1]) + 3000], rest, last),
        (
            "a member damaged in its middle",
            b"".join([*members[:200], bytes(hurt), *members[201:]]),
            truth(pages[:200] + pages[201:]),
            truth(pages[200:201]),
        ),
        ("wrong record lengths, gzip per record", b"".join(map(gzip.compress, wrong)), *closed(pages, by)),
        ("wrong record lengths, plain", b"".join(wrong), *closed(pages, by)),
    ]
    results: list[tuple[int, int, int]] = []
    for name, data, true, undecided in cases:
        (folder / "odd.warc").write_bytes(data)
        results.append(compare(name, extracted(folder / "odd.parquet", folder / "odd.warc"), true, undecided))
    return results


def closed(pages: list[archived_web.Document], by: list[int]) -> tuple[Pairs, Pairs]:
    """The truth and what is undecided where lengths are wrong: a compressed body that lost its end may have lost its last pictures."""
    hurt = [page for number, page in enumerate(pages) if by[number % 8] < 0 and page.encoding not in ("", "wrong length")]
    return truth([page for page in pages if page not in hurt]), truth(hurt)


def wat_file(folder: Path) -> tuple[int, int, int]:
    """A WAT of pages with plain pictures."""
    rng, records, true = random.Random(3), list[bytes](), set[tuple[str, str, str]]()
    for number in range(500):
        images = [(f"/p/{number}-{k}.jpg", f"picture {k} of {number}") for k in range(10)] + [("data:image/png;base64,AA", "in the page")]
        base = rng.choice(["", "http://base.example/"])
        page = archived_web.Document(f"http://w{number % 9}.example/{number}.html", "", "", "", "")
        records.append(gzip.compress(archived_web.wat_record(page, images, base)))
        host = base.rstrip("/") or f"http://w{number % 9}.example"
        true |= {(page.url, host + src, alt) for src, alt in images[:10]}
    (folder / "pages.warc.wat.gz").write_bytes(b"".join(records))
    return compare("WAT", extracted(folder / "wat.parquet", folder / "pages.warc.wat.gz"), true)


def real_files(folder: Path) -> list[tuple[int, int, int]]:
    """The WARC files in other projects' sdists; what warcio cannot read to its end is compared as far as it came."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-binary",
        ":all:",
        "--no-deps",
        "--no-build-isolation",
        "-d",
        str(folder),
    ]
    subprocess.run([*command, *SDISTS], check=True)
    results: list[tuple[int, int, int]] = []
    for sdist in sorted(folder.glob("*.tar.gz")):
        with tarfile.open(sdist) as tar:
            for member in tar:
                if member.isfile() and member.name.endswith((".warc", ".warc.gz")) and (content := tar.extractfile(member)) is not None:
                    (folder / "real.warc").write_bytes(content.read())
                    found = extracted(folder / "real.parquet", folder / "real.warc")
                    results.append(
                        compare(f"{sdist.name.partition('-')[0]} {Path(member.name).name}", found, by_warcio(folder / "real.warc"))
                    )
    return results


def by_warcio(path: Path) -> Pairs:
    """The pairs of all pages that warcio reads, decoded as UTF-8 (these files are)."""
    true: Pairs = set()
    with path.open("rb") as file:
        try:
            for record in ArchiveIterator(file):
                http, kind = record.http_headers, record.content_type or ""
                if record.rec_type == "response" and http is not None and http.get_statuscode() == "200":
                    kind = http.get_header("Content-Type") or ""
                elif record.rec_type != "resource":
                    continue
                if "html" in kind.lower() and (body := record.content_stream().read()):
                    true |= reference_pairs.pairs(record.rec_headers.get_header("WARC-Target-URI"), body.decode("utf-8", "replace"))
        except Exception as error:
            print(f"    warcio stops in {path.name}: {type(error).__name__}")
    return true


def big_files(folder: Path, size: int) -> list[tuple[int, int, int]]:
    """Speed and memory on one big file and on ten, beside a loop over warcio and the reference on the same file."""
    files = [folder / f"big-{seed}.warc" for seed in range(10)]
    true: Pairs = set()
    for seed, path in enumerate(files):
        for url, text in archived_web.big_file(path, seed, size):
            true |= reference_pairs.pairs(url, text) if seed == 0 else set()
    out = folder / "big.parquet"
    print(f"ten plain WARC files of {files[0].stat().st_size / 1e6:.0f} MB, load {os.getloadavg()[0]:.1f}")
    cpu, one = run(EXTRACT, str(out), str(files[0]))
    columns = read_table(out, columns=["page_url", "url", "caption"]).to_pydict()
    result = compare("one big file", set(zip(columns["page_url"], columns["url"], columns["caption"], strict=True)), true)
    pairs = len(columns["url"])
    out.unlink()
    began = time.monotonic()
    cpu_ten, ten = run(EXTRACT, str(out), *map(str, files))
    print(f"ten files: {time.monotonic() - began:.0f} s, {cpu_ten:.0f} CPU seconds")
    cpu_warcio, _ = run(WARCIO, str(HERE / "peers"), str(files[0]))
    print(f"figure sources_pairs_per_second_and_core {pairs / cpu:.0f} pairs/s")
    print(f"figure sources_megabytes_per_second_and_core {files[0].stat().st_size / 1e6 / cpu:.1f} MB/s")
    print(f"ratio sources_over_warcio_and_lxml {cpu_warcio / cpu:.2f}")
    print(f"figure sources_rss_one_file {one:.0f} MB")
    print(f"figure sources_rss_ten_files {ten:.0f} MB")
    print(f"ratio sources_rss_ten_over_one {ten / one:.3f}")
    return [result]


def main() -> None:
    size = int(next((word for word in sys.argv[1:] if word.isdecimal()), "100")) * 10**6
    parts: list[Callable[[Path], list[tuple[int, int, int]]]] = [odd_files, lambda folder: [wat_file(folder)]]
    parts += [] if "--offline" in sys.argv else [real_files]
    parts += [lambda folder: big_files(folder, size)] if size else []
    results: list[tuple[int, int, int]] = []
    for part in parts:
        with tempfile.TemporaryDirectory() as temporary:
            results += part(Path(temporary))
    true, hits, wrong = (sum(column) for column in zip(*results, strict=True))
    print(f"figure sources_recall {hits / true:.6f} of {true} pairs")
    print(f"figure sources_precision {hits / (hits + wrong):.6f} of {hits + wrong} pairs")


if __name__ == "__main__":
    main()
