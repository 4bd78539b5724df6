"""Painted pictures behind links: signed, good for an hour, gone some time later."""

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from unclip_pairs.store import Store
from unclip_server.api.messages import ApiError

FOLDER = "results"
_NAME = re.compile(r"[0-9a-f]{32}\.png")
_SWEEP_S = 300.0


@dataclass
class Results:
    """A folder of pictures and the secret that signs their links. `link_s` is how long a link is good."""

    store: Store
    secret: bytes
    link_s: int = 3600
    _swept: float = field(default=0.0, repr=False)

    def save(self, png: bytes, base_url: str) -> str:
        """Stores the picture and gives its link under `base_url`."""
        self._sweep()
        name = f"{secrets.token_hex(16)}.png"
        self.store.write_bytes(f"{FOLDER}/{name}", png)
        expires = int(time.time()) + self.link_s
        query = urlencode({"expires": expires, "signature": self._signature(name, expires)})
        return f"{base_url.rstrip('/')}/v1/results/{name}?{query}"

    def open(self, name: str, expires: str, signature: str) -> Path:
        """The stored picture; `ApiError` 403 when the link was altered or is too old, 404 when the picture is gone."""
        is_ours = expires.isdecimal() and _NAME.fullmatch(name) is not None
        if not is_ours or not hmac.compare_digest(self._signature(name, int(expires)).encode(), signature.encode()):
            raise ApiError(403, "This link is not one of ours, or was altered; use it as it was given.", code="invalid_signature")
        if time.time() > int(expires):
            raise ApiError(403, f"This link has expired; links are good for {self.link_s // 60} minutes.", code="expired_url")
        path = self.store.path(f"{FOLDER}/{name}")
        if not path.is_file():
            raise ApiError(404, "This picture is no longer here; ask for it again with the same seed.", code="not_found")
        return path

    def _signature(self, name: str, expires: int) -> str:
        return hmac.new(self.secret, f"{name}\n{expires}".encode(), hashlib.sha256).hexdigest()

    def _sweep(self) -> None:
        """Removes pictures that no link can reach any more, at most every five minutes."""
        now = time.time()
        if now - self._swept < _SWEEP_S:
            return
        self._swept = now
        for name in self.store.names(f"{FOLDER}/"):
            path = self.store.path(name)
            if _NAME.fullmatch(path.name) and path.stat().st_mtime < now - 2 * self.link_s:
                self.store.remove(name)
