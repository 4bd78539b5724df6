"""S3 client: how boto3 asks, the same for stores, archives and shards alike.

Endpoint, region and credentials come from boto3's own chain (`AWS_ENDPOINT_URL_S3`, `AWS_DEFAULT_REGION`, `AWS_ACCESS_KEY_ID`, profiles,
roles). Checksums are sent and asked for only where the protocol requires them, because many servers refuse the newer kinds.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

CONNECTIONS = 8


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
def s3_client(options: S3Options, process: int) -> Any:
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
    return session.client("s3", endpoint_url=options.endpoint, region_name=region, config=config)
