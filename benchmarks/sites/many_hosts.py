"""A web of many hosts on loopback, each with a robots.txt and pictures of about 512 pixels; `python many_hosts.py HOSTS` serves it.

It is quick, for it shares the cores with whoever is measured: every answer is ready before the first question, and one asyncio protocol
without streams gives it. The address of host n is 127.3.(n // 250).(n % 250 + 1); a picture's path says which of the bodies it shows.
"""

import asyncio
import io
import sys
from collections.abc import Iterator

import numpy as np
from PIL import Image

PORT = 8871
BODIES = 150
ROBOTS = b"User-agent: *\nDisallow: /private/\nAllow: /\n"
SIZES = ((512, 384), (384, 512), (512, 512), (640, 427), (480, 640))


def photograph(number: int) -> Image.Image:
    """Noise of many scales, which compresses about as a photograph does."""
    rng = np.random.default_rng(number)
    width, height = SIZES[number % len(SIZES)]
    total = np.full((height, width, 3), 128, dtype=np.float32)
    for cells in (4, 8, 16, 32, 64, 128):
        noise = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        total += (np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32) - 128) * (3 / cells) ** 0.8
    return Image.fromarray(total.clip(0, 255).astype(np.uint8))


def body(number: int) -> tuple[str, bytes]:
    """Content type and bytes: every tenth is a PNG, the others are JPEGs of quality 85."""
    buffer = io.BytesIO()
    if number % 10 == 9:
        photograph(number).save(buffer, "PNG")
        return "image/png", buffer.getvalue()
    photograph(number).save(buffer, "JPEG", quality=85)
    return "image/jpeg", buffer.getvalue()


def host(number: int) -> str:
    """The address of a host."""
    return f"127.3.{number // 250}.{number % 250 + 1}"


def addresses(hosts: int, pictures: int) -> Iterator[str]:
    """Every picture's address, host by host."""
    for place in range(hosts):
        for number in range(pictures):
            which = (place * pictures + number) % BODIES
            yield f"http://{host(place)}:{PORT}/p/{number}-{which}.{'png' if which % 10 == 9 else 'jpg'}"


def _answer(status: str, content_type: str, data: bytes) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


class Host(asyncio.Protocol):
    """One connection: answers each GET at once, keeps the connection for the next."""

    pictures: list[bytes]
    robots = _answer("200 OK", "text/plain", ROBOTS)
    missing = _answer("404 Not Found", "text/plain", b"")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the way back."""
        self.transport, self.buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answers every whole request."""
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            path = head.split(b" ", 2)[1]
            if path.startswith(b"/p/"):
                answer = self.pictures[int(path.partition(b"-")[2].partition(b".")[0])]
            else:
                answer = self.robots if path == b"/robots.txt" else self.missing
            self.transport.write(answer)  # type: ignore[attr-defined]
            if b"connection: close" in head.lower():
                self.transport.close()


async def serve(hosts: int) -> None:
    """Serves until cancelled; prints a line when all hosts listen."""
    Host.pictures = [_answer("200 OK", *body(number)) for number in range(BODIES)]
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Host, host(number), PORT, backlog=256) for number in range(hosts)]
    print(f"{len(servers)} hosts listen", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
