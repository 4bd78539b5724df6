"""Lineage page: one HTML file with a lineage's summary, sample pictures and graph, which needs no network and runs no script."""

import base64
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from PIL import Image
from pyarrow.parquet import read_table

from unclip_curation.samples import data_address, spread
from unclip_pairs.errors import UserError
from unclip_pairs.images import decode
from unclip_pairs.shards import picture_bytes, read_shard, shard_names
from unclip_pairs.store import Store
from unclip_pairs.takedowns import read_takedowns
from unclip_release.lineage import Lineage
from unclip_release.lineage_graph import graph_svg
from unclip_release.lineage_summary import Summary, summarize

SAMPLES, SIDE = 24, 160
_COLUMNS = ["key", "caption", "licence", "url", "page_url"]


@dataclass(frozen=True)
class Sample:
    """One pair of the dataset as it is published: what is blurred in the set is blurred here."""

    picture: str
    caption: str
    licence: str
    page_url: str


def lineage_page(lineage: Lineage) -> str:
    """The page. Pictures are inside it; those that were taken down by request are left out."""
    summary, store = summarize(lineage), lineage.index.store
    templates = Environment(loader=PackageLoader("unclip_release", "pages"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return templates.get_template("lineage.html").render(
        summary=summary,
        painted=_painted(lineage),
        samples=_samples(store, summary),
        graph=Markup(graph_svg(lineage)),  # made of escaped words only
        nodes=lineage.nodes(),
    )


def write_page(lineage: Lineage, path: Path) -> None:
    """Writes the page; `UserError` when the file cannot be written."""
    text = lineage_page(lineage)
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); name a file in a folder that exists") from error


def _painted(lineage: Lineage) -> str:
    """The painted picture that the walk starts at, as an address; empty when it starts at a version."""
    if not lineage.provenance:
        return ""
    return f"data:image/png;base64,{base64.b64encode(Path(lineage.start).read_bytes()).decode()}"


def _samples(store: Store, summary: Summary) -> list[Sample]:
    """Pairs spread over the dataset's training shards; none when the set is not in the store."""
    version = summary.dataset.version if summary.dataset else ""
    shards = shard_names(store, f"datasets/{version}/train-") if version else []
    takedowns, rows = read_takedowns(store), dict[str, dict[str, str | None]]()
    for shard in shards:
        for row in read_table(store.path(f"{shard}.parquet"), columns=_COLUMNS).to_pylist():
            if row["key"] not in takedowns.keys and not takedowns.forbids(str(row["url"] or "")):
                rows[row["key"]] = row
    keys, samples = set(spread(list(rows), SAMPLES)), list[Sample]()
    for shard in shards:
        for sample in read_shard(store, shard, keys):
            row = rows[sample["__key__"]]
            address = data_address(_small(decode(picture_bytes(sample))))
            samples.append(Sample(address, row["caption"] or "", row["licence"] or "not stated", row["page_url"] or row["url"] or ""))
    return samples


def _small(image: Image.Image) -> Image.Image:
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    return small
