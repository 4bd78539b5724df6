"""Croissant description of a dataset version: JSON-LD that search engines and loaders of other projects read.

MLCommons, Croissant 1.0. The same arguments give the same bytes.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import pyarrow as pa

CONFORMS = "http://mlcommons.org/croissant/1.0"
_OWN = (
    *(
        "citeAs",
        "column",
        "equivalentProperty",
        "extract",
        "field",
        "fileProperty",
        "fileObject",
        "fileSet",
        "format",
        "includes",
        "isLiveDataset",
        "jsonPath",
    ),
    *("key", "md5", "parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator"),
    *("source", "subField", "transform"),
)
ABOUT = "Pairs of a picture and its caption from the web: filtered by a stated policy, made safe, without near duplicates."
CONTEXT: dict[str, object] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    **{name: f"cr:{name}" for name in _OWN},
}
_FORMATS = {".tar": "application/x-tar", ".parquet": "application/x-parquet"}


def croissant(
    version: str,
    table: str,
    schema: pa.Schema,
    digests: Mapping[str, str],
    licences: Sequence[str],
    published: str,
    limitations: str,
) -> bytes:
    """The description as JSON. `digests` are the SHA-256 of the version's tars and Parquet files by name, relative to the version's folder;
    `table` is the one that holds all rows, of `schema`; `licences` are SPDX names or addresses; `published` is a day."""
    description = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS,
        "name": version,
        "version": "1.0.0",  # a version never changes: another one has another name
        "citeAs": f"Dataset {version}, curated with unCLIP",
        "description": ABOUT,
        "url": f"urn:unclip:{version}",
        "license": [licence if "://" in licence else f"https://spdx.org/licenses/{licence}" for licence in licences] or ["unstated"],
        "creator": {"@type": "sc:Organization", "name": "the operator of the unCLIP home that made it"},
        "datePublished": published,
        "rai:dataLimitations": limitations,
        "distribution": [*(_file(name, digest) for name, digest in sorted(digests.items())), *_filesets(digests)],
        "recordSet": [_rows(table, schema), _pictures()],
    }
    return (json.dumps(description, indent=1, ensure_ascii=False) + "\n").encode()


def _file(name: str, digest: str) -> dict[str, object]:
    kind = _FORMATS[PurePosixPath(name).suffix]
    return {"@type": "cr:FileObject", "@id": name, "name": name, "contentUrl": name, "encodingFormat": kind, "sha256": digest}


def _filesets(digests: Mapping[str, str]) -> list[dict[str, object]]:
    """The pictures inside the shards."""
    inside = [{"@id": name} for name in sorted(digests) if name.endswith(".tar")]
    facts: dict[str, object] = {"@type": "cr:FileSet", "@id": "pictures", "name": "pictures", "containedIn": inside}
    return [facts | {"encodingFormat": ["image/png", "image/jpeg", "image/webp"], "includes": ["*.png", "*.jpg", "*.webp"]}]


def _field(record_set: str, name: str, kind: str, about: str, source: Mapping[str, object]) -> dict[str, object]:
    return {"@type": "cr:Field", "@id": f"{record_set}/{name}", "name": name, "description": about, "dataType": kind, "source": source}


def _is_list_of_texts(type_: pa.DataType) -> bool:
    return pa.types.is_list(type_) and pa.types.is_string(type_.value_type)


def _rows(table: str, schema: pa.Schema) -> dict[str, object]:
    """One record a pair, without its picture: the columns of the table."""

    def kind(type_: pa.DataType) -> str:
        return "sc:Integer" if pa.types.is_integer(type_) else "sc:Float" if pa.types.is_floating(type_) else "sc:Text"

    fields = [
        _field("pairs", one.name, kind(one.type), f"column {one.name}", {"fileObject": {"@id": table}, "extract": {"column": one.name}})
        | ({"repeated": True} if pa.types.is_list(one.type) else {})
        for one in schema
        if not pa.types.is_nested(one.type) or _is_list_of_texts(one.type)
    ]
    return {"@type": "cr:RecordSet", "@id": "pairs", "name": "pairs", "key": {"@id": "pairs/key"}, "field": fields}


def _pictures() -> dict[str, object]:
    """One record a picture; its key is the one of `pairs`."""
    inside = {"fileSet": {"@id": "pictures"}}
    named = inside | {"extract": {"fileProperty": "filename"}, "transform": {"regex": "^([0-9a-f]+)"}}
    key = _field("images", "key", "sc:Text", "the pair that the picture belongs to", named) | {
        "references": {"field": {"@id": "pairs/key"}}
    }
    content = _field("images", "picture", "sc:ImageObject", "the encoded picture", inside | {"extract": {"fileProperty": "content"}})
    return {"@type": "cr:RecordSet", "@id": "images", "name": "images", "key": {"@id": "images/key"}, "field": [key, content]}
