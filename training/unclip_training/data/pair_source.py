"""Where pairs come from: a published dataset version, or the safe set of the crawl from which CLIP learns."""

import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow.parquet
from numpy.typing import NDArray

from unclip_curation.caption_lists import CaptionList, caption_lists_manifest, read_caption_lists
from unclip_curation.embeddings.blurring import Blurs, Box, blurred_where_asked, read_blurs
from unclip_curation.splits import HELD_OUT_KEYS, VALIDATION_KEYS, read_keys, withheld
from unclip_pairs.errors import UserError
from unclip_pairs.images import decode, fit_square, to_array
from unclip_pairs.manifest import read_manifest, settings_digest
from unclip_pairs.shards import read_shard, shard_names
from unclip_pairs.store import Store

SAFE = "safe"
VALIDATION = "validation"
RawSample = dict[str, bytes | str]
"""One pair as its shard holds it: the bytes of each file by extension, and `__key__`."""
PICTURE_EXTENSIONS = ("png", "jpg", "webp")


@dataclass(frozen=True)
class PairSource:
    """Finished shards, the keys to take from them (None: all), the digest of both, and that of the verdicts that chose the keys."""

    digest: str
    shards: tuple[str, ...]
    keys: frozenset[str] | None
    count: int
    verdicts: str | None = None
    blurs: Blurs = field(default_factory=dict[str, list[Box]], repr=False)
    """The areas by key that are blurred before anything learns from them; a published set is blurred already."""
    captions: Mapping[str, CaptionList] = field(default_factory=dict[str, CaptionList], repr=False)
    """Further captions by key; a published set has them in its shards."""

    @property
    def digest12(self) -> str:
        """The digest as it appears in file names."""
        return self.digest[:12]


@dataclass(frozen=True)
class PairSample:
    """One pair, unpacked: uint8 [side, side, 3], its captions (at least one, best first), and its embeddings where the shard has them."""

    key: str
    captions: tuple[str, ...]
    picture: NDArray[np.uint8]
    clip_image: NDArray[np.float32] | None
    clip_text: NDArray[np.float32] | None

    @property
    def caption(self) -> str:
        """The best of the captions."""
        return self.captions[0]


def pairs_source(store: Store, dataset: str, split: str = "train") -> PairSource:
    """The pairs named by `dataset`: a version (its `split`), or "safe". `UserError` when it is not there."""
    return _safe_set(store) if dataset == SAFE else _published(store, dataset, split)


def validation_source(store: Store, dataset: str) -> PairSource | None:
    """The pairs kept for the validation loss, from which no stage learns; None when there are none. `UserError` as in `pairs_source`."""
    if dataset == SAFE:
        return _safe_validation(store)
    manifest = read_manifest(store, f"datasets/{dataset}/manifest.json")
    return _published(store, dataset, VALIDATION) if manifest and shard_names(store, f"datasets/{dataset}/{VALIDATION}-") else None


def _published(store: Store, version: str, split: str) -> PairSource:
    manifest = read_manifest(store, f"datasets/{version}/manifest.json")
    if manifest is None:
        known = sorted({name.split("/")[1] for name in store.names("datasets/") if name.endswith("/manifest.json")})
        raise UserError(f"dataset {version!r} is not published in {store}; known versions: {', '.join(known) or 'none'}")
    shards = shard_names(store, f"datasets/{version}/{split}-")
    if not shards:
        raise UserError(f"dataset {version!r} has no {split!r} shards; publish it again")
    digest = manifest.digest if split == "train" else settings_digest([manifest.digest, split])
    return PairSource(digest, tuple(shards), None, sum(_count(store, shard) for shard in shards))


def _count(store: Store, shard: str) -> int:
    manifest = read_manifest(store, f"{shard}.json")
    assert manifest is not None
    return int(manifest.counts["samples"])


def _safe_set(store: Store) -> PairSource:
    kept_from_training = withheld(store)
    source = _safe_pairs(store, lambda keys: keys - kept_from_training)
    if not source.count:
        raise UserError(f"the safe set of {store} is empty; crawl some pairs, or loosen the policy")
    return source


def _safe_validation(store: Store) -> PairSource | None:
    chosen = read_keys(store, VALIDATION_KEYS) - read_keys(store, HELD_OUT_KEYS)
    source = _safe_pairs(store, lambda keys: keys & chosen) if chosen else None
    return source if source is not None and source.count else None


def _safe_pairs(store: Store, choose: Callable[[set[str]], set[str]]) -> PairSource:
    """Those of the crawl's safe pairs that `choose` gives; none of them when there is no shard."""
    verdict = read_manifest(store, "verdicts/safety.json")
    if verdict is None:
        raise UserError(f"the safety verdicts are missing in {store}; run `unclip data curate` first, or name a dataset version")
    table = pyarrow.parquet.read_table(store.path("verdicts/safety.parquet"), columns=["key", "keep"])
    kept = {key for key, keep in zip(table["key"].to_pylist(), table["keep"].to_pylist(), strict=True) if keep}
    shards = [name for name in shard_names(store, "crawl/") if name.rsplit("/", 1)[1].startswith("shard-")]
    keys = frozenset(choose(kept)) if shards else frozenset[str]()
    digests = [manifest.digest for shard in shards if (manifest := read_manifest(store, f"{shard}.json"))]
    captions = caption_lists_manifest(store)
    return PairSource(
        settings_digest([verdict.digest, digests, sorted(keys), captions.digest if captions else ""]),
        tuple(shards),
        keys,
        len(keys),
        verdict.digest,
        read_blurs(store, "safety"),
        read_caption_lists(store),
    )


def sample_weights(store: Store, source: PairSource) -> dict[str, float]:
    """The weight of each pair whose shard states one; others count 1."""
    weights: dict[str, float] = {}
    for shard in source.shards:
        path = store.path(f"{shard}.parquet")
        if "weight" in pyarrow.parquet.read_schema(path).names:
            table = pyarrow.parquet.read_table(path, columns=["key", "weight"])
            weights |= dict(zip(table["key"].to_pylist(), table["weight"].to_pylist(), strict=True))
    return weights


def read_vector(data: bytes | None) -> NDArray[np.float32] | None:
    """float32 [D] of a `.npy`; pickled content is refused."""
    return None if data is None else np.load(io.BytesIO(data), allow_pickle=False).astype(np.float32).reshape(-1)


def read_captions(raw: Mapping[str, bytes], key: str) -> tuple[str, ...]:
    """All captions of a raw sample, best first: its `captions.json`, or its `txt` alone. `UserError` when the list cannot be read."""
    if "captions.json" not in raw:
        return (raw["txt"].decode(),)
    try:
        found = json.loads(raw["captions.json"])
    except ValueError:
        found = None
    if not isinstance(found, list) or not found or not all(isinstance(one, str) for one in found):
        raise UserError(f"captions.json of the pair {key} is no list of texts; publish the dataset again")
    return tuple(found)


def captions_of(sample: RawSample) -> tuple[str, ...]:
    """All captions of a raw sample, best first; errors as in `read_captions`."""
    return read_captions({name: value for name, value in sample.items() if isinstance(value, bytes)}, str(sample["__key__"]))


def unpack(sample: RawSample, side: int) -> PairSample:
    """The pair of a raw sample, its picture fitted into `side` x `side`. `UserError` when its captions cannot be read."""
    raw: dict[str, bytes] = {name: value for name, value in sample.items() if isinstance(value, bytes)}
    data = next(raw[name] for name in PICTURE_EXTENSIONS if name in raw)
    picture = to_array(fit_square(decode(data), side))
    vectors = read_vector(raw.get("clip_image.npy")), read_vector(raw.get("clip_text.npy"))
    key = str(sample["__key__"])
    return PairSample(key, read_captions(raw, key), picture, *vectors)


def as_learned(sample: RawSample, source: PairSource) -> RawSample:
    """The raw sample as a training may see it: its faces blurred and its further captions beside it, where the source says so."""
    blurred = blurred_where_asked(sample, source.blurs)
    found, caption = source.captions.get(str(sample["__key__"])), sample["txt"]
    if found is None or not isinstance(caption, bytes):
        return blurred
    return blurred | {"captions.json": json.dumps([caption.decode(), *found.texts]).encode()}


def raw_samples(store: Store, source: PairSource) -> Iterator[RawSample]:
    """The chosen samples in shard order, undecoded."""
    for shard in source.shards:
        for sample in read_shard(store, shard):
            if source.keys is None or sample["__key__"] in source.keys:
                yield as_learned(sample, source)
