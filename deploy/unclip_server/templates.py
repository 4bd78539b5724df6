"""Templates and security headers of the pages."""

from jinja2 import Environment, PackageLoader

HEADERS = {
    "content-security-policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
templates = Environment(loader=PackageLoader("unclip_server", "pages"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
