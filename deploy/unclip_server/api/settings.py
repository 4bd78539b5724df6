"""Server's door to the environment: read once, into one frozen dataclass."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from unclip_pairs.errors import UserError
from unclip_pairs.home import home_folder


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the server finds its things and what it allows.

    `host` is loopback unless told; `tracking_uri` None is the database of the store; `policy` None is the policy that comes along;
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
    policy: Path | None = None


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


def load_settings(environment: Mapping[str, str]) -> Settings:
    """The settings that the variables describe; unset and empty ones mean the default. `UserError` names the variable that is wrong."""
    policy = environment.get("UNCLIP_SAFETY_POLICY")
    return Settings(
        home=home_folder(environment.get("UNCLIP_HOME") or "var"),
        tracking_uri=environment.get("MLFLOW_TRACKING_URI") or None,
        host=environment.get("UNCLIP_HOST") or "127.0.0.1",
        port=_number(environment, "UNCLIP_PORT", 8000),
        images_per_minute=_number(environment, "UNCLIP_IMAGES_PER_MINUTE", 60),
        max_waiting=_number(environment, "UNCLIP_MAX_WAITING", 64),
        max_batch=_number(environment, "UNCLIP_MAX_BATCH", 10),
        public_url=environment.get("UNCLIP_PUBLIC_URL") or None,
        policy=Path(policy) if policy else None,
    )


def read_settings() -> Settings:
    """The settings of this process's environment."""
    return load_settings(os.environ)
