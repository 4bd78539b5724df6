"""S3 client: how boto3 asks, the same for stores, archives and shards alike.

Endpoint, region and credentials come from boto3's own chain (`AWS_ENDPOINT_URL_S3`, `AWS_DEFAULT_REGION`, `AWS_ACCESS_KEY_ID`, profiles,
roles). Checksums are sent and asked for only where the protocol requires them, because many servers refuse the newer kinds.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NotRequired, Protocol, TypedDict, cast

CONNECTIONS = 8


class Body(Protocol):
    """An object's body."""

    def read(self, size: int = ..., /) -> bytes:
        """At most `size` bytes; b"" at the end."""
        ...

    def iter_chunks(self, size: int, /) -> Iterator[bytes]:
        """The bytes in pieces of `size`."""
        ...


class Stored(TypedDict):
    """The answer to an object that was sent."""

    ETag: str


class ObjectHead(Stored):
    """What is used of the answer to `head_object`."""

    ContentLength: int
    ContentRange: NotRequired[str]
    Metadata: NotRequired[dict[str, str]]


class ObjectAnswer(ObjectHead):
    """What is used of the answer to `get_object`."""

    Body: Body


class Part(TypedDict):
    """One part of an upload."""

    PartNumber: int
    ETag: str


class Upload(TypedDict):
    """The answer to an upload that has begun."""

    UploadId: str


class ListedObject(TypedDict):
    """One object of a listing."""

    Key: str
    ETag: str
    Size: int


class ListedUpload(TypedDict):
    """One unfinished upload of a listing."""

    Key: str
    UploadId: str
    Initiated: datetime


class Page(TypedDict, total=False):
    """One page of a listing."""

    Contents: list[ListedObject]
    Uploads: list[ListedUpload]


class Paginator(Protocol):
    """A listing, page by page."""

    def paginate(self, **asked: object) -> Iterable[Page]:
        """The pages."""
        ...


class S3Client(Protocol):
    """What is used of boto3's S3 client; every method raises botocore's errors."""

    def list_objects_v2(self, **asked: object) -> Page:
        """One page of a listing."""
        ...

    def get_paginator(self, name: str, /) -> Paginator:
        """All pages of the listing that the method of this name gives."""
        ...

    def head_object(self, **asked: object) -> ObjectHead:
        """What is known of an object."""
        ...

    def get_object(self, **asked: object) -> ObjectAnswer:
        """The same, with the body."""
        ...

    def put_object(self, **asked: object) -> Stored:
        """Stores an object."""
        ...

    def delete_object(self, **asked: object) -> object:
        """Removes an object."""

    def create_multipart_upload(self, **asked: object) -> Upload:
        """Begins an upload in parts."""
        ...

    def upload_part(self, **asked: object) -> Stored:
        """Sends one part."""
        ...

    def complete_multipart_upload(self, **asked: object) -> object:
        """Makes an object of the parts."""

    def abort_multipart_upload(self, **asked: object) -> object:
        """Gives an upload up."""


@dataclass(frozen=True, kw_only=True)
class S3Options:
    """How an endpoint is asked. `is_public` reads unsigned, from `us-east-1`, where the machine names no credentials or no region, as
    public data sets allow; `user_agent` is added to boto3's own."""

    endpoint: str | None = None
    region: str | None = None
    attempts: int = 5
    connect_s: float = 10
    read_s: float = 60
    user_agent: str = ""
    is_public: bool = False


@lru_cache(maxsize=16)
def s3_client(options: S3Options, process: int) -> S3Client:
    """boto3's client; `process` is the process's id, for a forked child must not share its parent's connections."""
    from boto3.session import Session
    from botocore import UNSIGNED
    from botocore.config import Config

    session = Session()
    is_unsigned = options.is_public and session.get_credentials() is None
    config = Config(
        connect_timeout=options.connect_s,
        read_timeout=options.read_s,
        retries={"mode": "standard", "total_max_attempts": options.attempts},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        signature_version=UNSIGNED if is_unsigned else "s3v4",
        max_pool_connections=CONNECTIONS,
        s3={"addressing_style": "auto" if options.is_public else "path"},
        user_agent_extra=options.user_agent or None,
    )
    region = options.region or ((session.region_name or "us-east-1") if options.is_public else None)
    client: object = session.client("s3", endpoint_url=options.endpoint, region_name=region, config=config)
    return cast(S3Client, client)  # boto3 makes the methods at run time
