"""Settings of the server: options over the environment, read once into one frozen dataclass."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from unclip_pairs.errors import UserError
from unclip_safety.policy import PolicyFiles


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the server finds its things and what it allows.

    `host` is loopback unless set; `tracking_uri` None is the database of the store; `policies` are the files of the two policies;
    `public_url` None makes links with the address the client used.
    """

    home: Path
    tracking_uri: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    images_per_minute: int = 60
    max_waiting: int = 64
    max_batch: int = 10
    public_url: str | None = None
    policies: PolicyFiles = field(default_factory=PolicyFiles)


_NUMBERS = {
    "UNCLIP_PORT": (0, 65535),
    "UNCLIP_IMAGES_PER_MINUTE": (1, 1_000_000),
    "UNCLIP_MAX_WAITING": (1, 100_000),
    "UNCLIP_MAX_BATCH": (1, 1024),
}


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    least, most = _NUMBERS[name]
    text = environment.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or not least <= int(text) <= most:
        raise UserError(f"{name} is {text!r}, but must be a whole number from {least} to {most}")
    return int(text)


def _public_url(environment: Mapping[str, str]) -> str | None:
    url = environment.get("UNCLIP_PUBLIC_URL") or None
    if url is not None and not url.startswith(("http://", "https://")):
        raise UserError(f"UNCLIP_PUBLIC_URL is {url!r}, but links must begin with http:// or https://")
    return url


def read_settings(
    *,
    home: Path,
    tracking_uri: str | None = None,
    policies: PolicyFiles | None = None,
    host: str | None = None,
    port: int | None = None,
    variables: Mapping[str, str] | None = None,
) -> Settings:
    """The settings of a command line over those of the environment (`variables`; None: this process's).

    An option that is None leaves the variable's value, and unset and empty variables mean the default. Home, registry and policies are
    handed in, because every command reads them. `UserError` names the variable that is wrong.
    """
    values = os.environ if variables is None else variables
    return Settings(
        home=home,
        tracking_uri=tracking_uri,
        policies=policies or PolicyFiles(),
        host=host or values.get("UNCLIP_HOST") or "127.0.0.1",
        port=_number(values, "UNCLIP_PORT", 8000) if port is None else port,
        images_per_minute=_number(values, "UNCLIP_IMAGES_PER_MINUTE", 60),
        max_waiting=_number(values, "UNCLIP_MAX_WAITING", 64),
        max_batch=_number(values, "UNCLIP_MAX_BATCH", 10),
        public_url=_public_url(values),
    )
