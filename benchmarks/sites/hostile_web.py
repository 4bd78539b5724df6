"""A web of hosts on loopback that harm a crawler in every known way, some of them behind names that a stub resolver answers.

Names end in .example and are answered in the crawl's own process: `python hostile_web.py --store ...` puts the stub in and then crawls, so
that no question for a name leaves it. Every case is a host of its own, so that what one host does says nothing of another.
"""

import asyncio
import contextlib
import io
import socket
import ssl
import struct
import sys
import threading
import zlib
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from PIL import Image

PORT, TLS_PORT = 8882, 8883
Writer = asyncio.StreamWriter
Act = Callable[[Writer], Awaitable[None]]
NOT_FOUND = b"HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n"


def picture(side: int = 64) -> bytes:
    """A good PNG."""
    buffer = io.BytesIO()
    Image.radial_gradient("L").resize((side, side)).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def photograph(exif: bytes = b"") -> bytes:
    """A good JPEG with these EXIF bytes."""
    buffer = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def png(width: int, height: int, packed: bytes) -> bytes:
    """A grey PNG of this size by its header, whatever is packed into it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def zeros(count: int) -> bytes:
    """So many zeros, packed."""
    packer = zlib.compressobj(9)
    pieces = [packer.compress(bytes(min(2**20, count - at))) for at in range(0, count, 2**20)]
    return b"".join([*pieces, packer.flush()])


def gzip_bomb() -> bytes:
    """A gigabyte of zeros in a megabyte."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(packer.compress(bytes(2**20)) for _ in range(1024)), packer.flush()])


def whole(body: bytes, content_type: str = "image/png", **headers: str) -> Act:
    """An answer as it should be."""
    lines = [f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return raw("\r\n".join([*lines, "", ""]).encode() + body)


def raw(data: bytes, then: float = 0.0) -> Act:
    """These very bytes, and then silence for so many seconds."""

    async def act(writer: Writer) -> None:
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(then)
        if then or b"Content-Length: 99999" in data:
            writer.close()

    return act


def redirect(where: str) -> Act:
    """A redirect."""
    return raw(f"HTTP/1.1 302 x\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n".encode())


def drip(head: bytes, piece: bytes, pause: float) -> Act:
    """The head, and then the piece again and again until the client leaves."""

    async def act(writer: Writer) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return act


PNG_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"
ENDLESS = PNG_HEAD + b"Connection: close\r\n\r\n"
BROKEN_EXIF = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff" + b"\x01\x12\x00\x03\xff\xff\xff\xff\xff\xff\xff\xff" * 40
META = "http://169.254.169.254/latest/meta-data/"

# name: (scheme, what the host does, how its row must end)
CASES: dict[str, tuple[str, Callable[[], Act], str]] = {
    "never answers": ("http", lambda: raw(b"", 60), "timeout"),
    "slow-loris in the headers": ("http", lambda: drip(PNG_HEAD, b"X-Wait: 1\r\n", 0.3), "timeout"),
    "slow-loris in the body": ("http", lambda: drip(PNG_HEAD + b"Content-Length: 90000\r\n\r\n", b"\x89", 0.3), "timeout"),
    "endless body": ("http", lambda: drip(ENDLESS, bytes(262_144), 0), "too_large"),
    "endless body in chunks": (
        "http",
        lambda: drip(PNG_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + bytes(65536) + b"\r\n", 0),
        "too_large",
    ),
    "endless headers": ("http", lambda: drip(PNG_HEAD, b"X-More: " + b"x" * 8000 + b"\r\n", 0), "connection_error"),
    "10 GB promised": ("http", lambda: raw(PNG_HEAD + b"Content-Length: 10737418240\r\n\r\n\x89PNG", 60), "too_large"),
    "gzip bomb": ("http", lambda: whole(gzip_bomb(), Content_Encoding="gzip"), "too_large"),
    "gzip that is none": ("http", lambda: whole(b"\x1f\x8bno", Content_Encoding="gzip"), "connection_error"),
    "PNG bomb, honest header": ("http", lambda: whole(png(40_000, 40_000, zeros(40_000 * 40_001))), "too_many_pixels"),
    "PNG bomb, lying header": ("http", lambda: whole(png(64, 64, zeros(2**30))), "ok or decode_error"),
    "PNG of 49 million pixels": ("http", lambda: whole(png(7000, 7000, zeros(7000 * 7001))), "ok"),
    "30,000 pixels wide, as high": ("http", lambda: whole(png(30_000, 30_000, b"")), "too_many_pixels"),
    "30,000 pixels wide, one high": ("http", lambda: whole(png(30_000, 1, zeros(30_001))), "too_small"),
    "redirect loop": ("http", lambda: redirect("/p.png"), "redirect_error"),
    "redirect to 127.0.0.1": ("http", lambda: redirect("http://127.0.0.1:22/"), "private_address"),
    "redirect to 127.1 in decimal": ("http", lambda: redirect("http://2130706433:22/"), "private_address"),
    "redirect to localhost": ("http", lambda: redirect("http://localhost:22/"), "private_address"),
    "redirect to ::1": ("http", lambda: redirect("http://[::1]:22/"), "private_address"),
    "redirect to 169.254.169.254": ("http", lambda: redirect(META), "private_address"),
    "redirect to a mapped 169.254.169.254": ("http", lambda: redirect("http://[::ffff:a9fe:a9fe]/"), "private_address"),
    "redirect to 10.0.0.1": ("http", lambda: redirect("http://10.0.0.1/"), "private_address"),
    "redirect to a file": ("http", lambda: redirect("file:///etc/passwd"), "invalid_url"),
    "redirect to nowhere": ("http", lambda: raw(b"HTTP/1.1 302 x\r\nContent-Length: 0\r\n\r\n"), "redirect_error"),
    "a page under a picture's type": ("http", lambda: whole(b"<html>no picture</html>"), "not_an_image"),
    "a picture under a page's type": ("http", lambda: whole(picture(), "text/html"), "ok"),
    "an SVG with a script": (
        "http",
        lambda: whole(b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "image/svg+xml"),
        "not_an_image",
    ),
    "truncated on the wire": ("http", lambda: raw(PNG_HEAD + b"Content-Length: 99999\r\n\r\n" + picture()[:50]), "connection_error"),
    "truncated in the file": ("http", lambda: whole(photograph()[:900], "image/jpeg"), "decode_error"),
    "broken EXIF": ("http", lambda: whole(photograph(BROKEN_EXIF), "image/jpeg"), "ok"),
    "not HTTP at all": ("http", lambda: raw(b"SSH-2.0-OpenSSH_9.9\r\n\r\n", 0.1), "connection_error"),
    "nobody listens": ("http", lambda: raw(b""), "connection_error"),
    "TLS: a good certificate of an unknown signer": ("https", lambda: whole(picture()), "connection_error"),
    "TLS: expired": ("https", lambda: whole(picture()), "connection_error"),
    "TLS: another host's": ("https", lambda: whole(picture()), "connection_error"),
    "TLS: none is spoken": ("https", lambda: whole(picture()), "connection_error"),
    "name that leads to 127.0.0.1": ("http", lambda: whole(picture()), "private_address"),
    "name that leads to 169.254.169.254": ("http", lambda: whole(picture()), "private_address"),
    "name that nobody knows": ("http", lambda: whole(picture()), "dns_error"),
    "rebinding: public first, then 127.0.0.1": ("http", lambda: whole(picture()), "private_address"),
    "control: a good picture": ("http", lambda: whole(picture()), "ok"),
}
NAMES = list(CASES)
SLOW = [name for name, (_, _, status) in CASES.items() if status == "timeout"]


def host(number: int) -> str:
    """The address of a case's host."""
    return f"127.4.0.{number + 1}"


def name_of(number: int) -> str:
    """What the case's addresses call its host: a name where names are the matter, the address elsewhere."""
    is_named = NAMES[number].startswith(("TLS", "name", "rebinding"))
    return f"case-{number}.example" if is_named else host(number)


def address(number: int) -> str:
    """The picture's address."""
    scheme = CASES[NAMES[number]][0]
    return f"{scheme}://{name_of(number)}:{TLS_PORT if scheme == 'https' else PORT}/p.png"


def allowed() -> list[str]:
    """The only ports of this machine that the crawl may reach."""
    return [f"{host(number)}:{port}" for number in range(len(CASES)) for port in (PORT, TLS_PORT)]


def certificate(folder: Path, number: int) -> ssl.SSLContext:
    """A server's context whose certificate is self-signed, expired or another host's."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    case, key = NAMES[number], ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "other.example" if "another" in case else name_of(number))])
    begin = datetime.now(UTC) - timedelta(days=400)
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key()).serial_number(number + 1)
    made = made.not_valid_before(begin).not_valid_after(begin + timedelta(days=30 if "expired" in case else 800))
    names = x509.SubjectAlternativeName([x509.DNSName(subject.rfc4514_string().partition("=")[2])])
    made = made.add_extension(names, critical=False).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    signed = made.sign(key, hashes.SHA256())
    path = folder / f"{number}.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def trusted(folder: Path) -> str:
    """A bundle of the certificates that only their date or their name speaks against, as SSL_CERT_FILE."""
    wrong = [number for number, name in enumerate(NAMES) if name in ("TLS: expired", "TLS: another host's")]
    bundle = folder / "trusted.pem"
    bundle.write_bytes(b"".join((folder / f"{number}.pem").read_bytes() for number in wrong))
    return str(bundle)


class Web:
    """The hosts, in a thread."""

    def __init__(self, folder: Path, numbers: list[int]) -> None:
        self.folder = folder
        self.servers: list[asyncio.Server] = []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        for number in numbers:
            if NAMES[number] != "nobody listens":
                asyncio.run_coroutine_threadsafe(self._listen(number), self.loop).result(30)

    async def _listen(self, number: int) -> None:
        scheme, make, _ = CASES[NAMES[number]]
        act, case = make(), NAMES[number]

        async def connected(reader: asyncio.StreamReader, writer: Writer) -> None:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
                while "none is spoken" not in case:
                    asked = await reader.readuntil(b"\r\n\r\n")
                    if b" /p.png " in asked:
                        await act(writer)
                    else:
                        writer.write(NOT_FOUND)
                    await writer.drain()
                    if case.startswith("rebinding"):
                        break
                writer.write(NOT_FOUND)
            writer.close()

        tls = certificate(self.folder, number) if scheme == "https" and "none is spoken" not in case else None
        port = TLS_PORT if scheme == "https" else PORT
        self.servers.append(await asyncio.start_server(connected, host(number), port, ssl=tls))

    def close(self) -> None:
        """Stops; what is open is dropped."""

        async def end() -> None:
            for server in self.servers:
                server.close()
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@contextlib.contextmanager
def web(folder: Path, numbers: list[int]) -> Iterator[Web]:
    """The hosts of these cases, until the block ends."""
    site = Web(folder, numbers)
    try:
        yield site
    finally:
        site.close()


def answer_names() -> None:
    """Replaces this process's questions for names by answers of our own, and refuses to connect to anything but loopback."""
    asked: dict[str, int] = {}
    real = socket.getaddrinfo

    def stub(name: Any, port: Any, *rest: Any, **more: Any) -> Any:
        text = name.decode() if isinstance(name, bytes) else str(name)
        if not text.endswith(".example"):
            assert text == "localhost" or text.replace(".", "").isalnum() or ":" in text
            return real(name, port, *rest, **more)
        asked[text] = asked.get(text, 0) + 1
        number = int(text.split("-")[1].split(".")[0])
        case, found = NAMES[number], host(number)
        if "nobody knows" in case:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if "169.254" in case:
            found = "169.254.169.254"
        elif "leads to 127.0.0.1" in case or (case.startswith("rebinding") and asked[text] > 2):
            found = "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (found, int(port or 0)))]

    socket.getaddrinfo = stub  # type: ignore[assignment]
    for method in ("connect", "connect_ex"):
        _guard(method)


def _guard(method: str) -> None:
    original = getattr(socket.socket, method)

    def checked(self: socket.socket, place: Any, *rest: Any) -> Any:
        assert not isinstance(place, tuple) or ip_address(place[0]).is_loopback, f"a packet would leave loopback, to {place}"
        return original(self, place, *rest)

    setattr(socket.socket, method, checked)


if __name__ == "__main__":
    from unclip_crawl.__main__ import main

    answer_names()
    sys.argv = ["unclip_crawl", *sys.argv[1:]]
    raise SystemExit(main())
