"""This program serves a small site of drawn pictures on loopback: ten pages with their captions, some pictures twice. It says its address.

python pictures.py [PICTURES]
"""

import io
import sys
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image, ImageDraw

PAGES = 10
TWICE = 12  # every twelfth picture shows what the first one shows
COLOURS = ("red", "blue", "green", "orange", "black")
SHAPES = ("circle", "square", "bar")
COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 120


@cache
def drawn(number: int) -> bytes:
    """A PNG of a shape over grain of its own."""
    rng = np.random.default_rng(number)
    image = Image.fromarray(rng.integers(150, 255, (8, 8, 3), dtype=np.uint8)).resize((160, 160), Image.Resampling.BICUBIC)
    x, y, size = (int(value) for value in rng.integers(10, 70, 3))
    box = (x, y, x + size + 20, y + (size // 3 if number % 3 == 2 else size) + 20)
    pen = ImageDraw.Draw(image)
    (pen.ellipse if number % 3 == 0 else pen.rectangle)(box, fill=COLOURS[number % 5])
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def page(number: int) -> bytes:
    """A page with its share of the pictures."""
    shown = range(number, COUNT, PAGES)
    figures = "".join(f'<img src="/{i}.png" alt="Drawing {i} of a {COLOURS[i % 5]} {SHAPES[i % 3]} on soft ground">' for i in shown)
    links = "".join(f'<a href="/page{other}.html">more</a>' for other in range(PAGES))
    licence = '<a rel="license" href="https://creativecommons.org/publicdomain/zero/1.0/">CC0</a>'
    return f"<html lang=en><body>{figures}{links}{licence}</body></html>".encode()


class Site(BaseHTTPRequestHandler):
    """Pages, pictures, and a robots.txt that allows all."""

    def do_GET(self) -> None:
        name = self.path.strip("/") or "page0.html"
        if name == "robots.txt":
            self.answer("text/plain", b"User-agent: *\nAllow: /\n")
        elif name.endswith(".png"):
            number = int(name.removesuffix(".png"))
            self.answer("image/png", drawn(0 if number % TWICE == 0 else number))
        elif name.endswith(".html"):
            self.answer("text/html", page(int(name.removeprefix("page").removesuffix(".html"))))
        else:
            self.send_error(404)

    def answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    print(f"http://127.0.0.1:{server.server_address[1]}/page0.html", flush=True)
    server.serve_forever()
