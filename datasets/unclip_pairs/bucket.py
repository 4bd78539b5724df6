"""Bucket: a place under a prefix of any S3 endpoint, reached through boto3, with errors a user can act on.

An address may name endpoint and region, never a secret; the rest is boto3's own chain (`s3_client`). Every object carries its SHA-256 as
metadata, and bodies are sent with Content-MD5.
"""

import base64
import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from unclip_pairs.bucket_errors import explained_bucket
from unclip_pairs.errors import UserError
from unclip_pairs.s3_client import ObjectHead, Part, S3Client, S3Options, s3_client

MULTIPART_BYTES = 16 * 2**20  # files from this size on travel in parts of this size
MOST_PARTS = 10_000
SENDERS = 4
ATTEMPTS = 5
READS = 4
PAGE = 1_000  # names in one answer; servers give no more
_PIECE = 2**20


@dataclass(frozen=True)
class Object:
    """What the bucket says of one object; `sha256` is None when whoever stored it did not say, and in listings."""

    name: str
    etag: str
    size: int
    sha256: str | None = None


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


@dataclass(frozen=True)
class Bucket:
    """Objects under `prefix` of a bucket; names are relative to the prefix. Every method raises `UserError` when the server cannot be
    reached, does not know the bucket, or refuses."""

    name: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None

    def __str__(self) -> str:
        return f"s3://{self.name}/{self.prefix}".rstrip("/")

    @contextlib.contextmanager
    def _calls(self, attempts: int = ATTEMPTS) -> Iterator[S3Client]:
        """The client, whose errors become one sentence."""
        with explained_bucket(str(self), self.endpoint):
            yield s3_client(S3Options(endpoint=self.endpoint, region=self.region, attempts=attempts), os.getpid())

    def _place(self, name: str) -> dict[str, str]:
        return {"Bucket": self.name, "Key": f"{self.prefix}/{name}" if self.prefix else name}

    def check(self) -> None:
        """Asks whether the bucket answers: one small request."""
        with self._calls(attempts=2) as client:
            client.list_objects_v2(Bucket=self.name, Prefix=self.prefix, MaxKeys=1)

    def head(self, name: str) -> Object | None:
        """What is known of the object, or None when there is none."""
        from botocore.exceptions import ClientError

        with self._calls() as client:
            try:
                answer = client.head_object(**self._place(name))
            except ClientError as error:
                if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
                    return None
                raise
        return _object(name, answer)

    def listed(self, prefix: str = "", limit: int | None = None) -> Iterator[Object]:
        """The objects whose names begin with `prefix`, in the order of their names, page by page; at most `limit`."""
        start, page = self._place(prefix)["Key"], {"PageSize": min(limit or PAGE, PAGE), "MaxItems": limit}
        with self._calls() as client:
            for answer in client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=start, PaginationConfig=page):
                for entry in answer.get("Contents", []):
                    name = str(entry["Key"])[len(self.prefix) + 1 if self.prefix else 0 :]
                    yield Object(name, str(entry["ETag"]).strip('"'), int(entry["Size"]))

    def delete(self, name: str) -> None:
        """Removes the object; nothing happens when there is none."""
        with self._calls() as client:
            client.delete_object(**self._place(name))

    def download(self, name: str, path: Path) -> Object | None:
        """Writes the object to `path` and gives what is known of it, None when there is none. What arrived is compared with its stated
        SHA-256 and size; `UserError` when it still differs after several reads."""
        for attempt in range(READS):
            time.sleep(0.5 * attempt)
            try:
                return self._download(name, path)
            except _Damaged:
                continue
        raise UserError(f"{self}/{name} does not arrive as it was stored; remove it there and run the step that makes it again")

    def _download(self, name: str, path: Path) -> Object | None:
        from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError, ResponseStreamingError

        digest, size = hashlib.sha256(), 0
        with self._calls() as client, path.open("wb") as file:
            try:
                answer = client.get_object(**self._place(name))
                for piece in answer["Body"].iter_chunks(_PIECE):
                    file.write(piece)
                    digest.update(piece)
                    size += len(piece)
            except (IncompleteReadError, ResponseStreamingError) as error:
                raise _Damaged from error
            except HTTPClientError as error:
                if size:  # the connection broke in the middle of the body
                    raise _Damaged from error
                raise
            except ClientError as error:
                if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
                    return None
                raise
        there = _object(name, answer)
        if size != there.size or there.sha256 not in (None, digest.hexdigest()):
            raise _Damaged
        return there

    def upload(self, path: Path, name: str) -> Object:
        """Stores the file with its SHA-256 as metadata; it appears whole or not at all. Gives what the bucket then says of it."""
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        place, size = self._place(name) | {"Metadata": {"sha256": sha256}}, path.stat().st_size
        with self._calls() as client:
            if size < MULTIPART_BYTES:
                data = path.read_bytes()
                answer = client.put_object(**place, Body=data, ContentMD5=_md5(data))
                return Object(name, str(answer["ETag"]).strip('"'), size, sha256)
            _send_in_parts(client, path, size, place)
        there = self.head(name)
        if there is None or (there.size, there.sha256) != (size, sha256):
            raise UserError(f"{self}/{name} was stored, but another file is there now; let one process write it, and run it again")
        return there

    def abort_uploads(self, prefix: str = "", older_than_s: float = 86_400) -> int:
        """Gives up uploads in parts that a killed process left behind; the number of them. They are never visible as objects, but most
        servers keep their parts, and ask money for them, until somebody gives them up."""
        latest, given_up = datetime.now(UTC) - timedelta(seconds=older_than_s), 0
        with self._calls() as client:
            pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=self.name, Prefix=self._place(prefix)["Key"])
            for entry in [entry for page in pages for entry in page.get("Uploads", [])]:
                if entry["Initiated"] <= latest:
                    client.abort_multipart_upload(Bucket=self.name, Key=entry["Key"], UploadId=entry["UploadId"])
                    given_up += 1
        return given_up


class _Damaged(Exception):
    """The body broke off, or is not what its metadata says."""


def _object(name: str, answer: ObjectHead) -> Object:
    return Object(name, str(answer["ETag"]).strip('"'), int(answer["ContentLength"]), answer.get("Metadata", {}).get("sha256"))


def _send_in_parts(client: S3Client, path: Path, size: int, place: Mapping[str, object]) -> None:
    """Several parts at a time, each with its MD5; the object appears when all are there. An error gives the upload up."""
    where = {"Bucket": place["Bucket"], "Key": place["Key"]}
    upload = {**where, "UploadId": client.create_multipart_upload(**place)["UploadId"]}
    part_size = max(MULTIPART_BYTES, -(-size // MOST_PARTS))

    def send(number: int) -> Part:
        with path.open("rb") as file:
            file.seek((number - 1) * part_size)
            data = file.read(part_size)
        answer = client.upload_part(**upload, PartNumber=number, Body=data, ContentMD5=_md5(data))
        return {"PartNumber": number, "ETag": answer["ETag"]}

    try:
        parts = _side_by_side(send, -(-size // part_size))
        client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    except BaseException:
        with contextlib.suppress(Exception):  # the first error is the one to report
            client.abort_multipart_upload(**upload)
        raise


def _side_by_side(send: Callable[[int], Part], count: int) -> list[Part]:
    with ThreadPoolExecutor(min(SENDERS, count)) as pool:
        try:
            return list(pool.map(send, range(1, count + 1)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
