"""Data card as a web page: the card's Markdown (headings, tables, lists, paragraphs, pictures) as one HTML file."""

import html
import re

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{border:1px solid #ccc;padding:.2rem .6rem;text-align:left;overflow-wrap:anywhere}"
    "img{max-width:100%}"
)


def card_page(title: str, markdown: str) -> str:
    """An HTML page that needs no network and runs no script; everything that came from the web is escaped."""
    body = "\n".join(_block(block) for block in re.split(r"\n{2,}", markdown.strip()))
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _block(block: str) -> str:
    lines = block.split("\n")
    if heading := re.fullmatch(r"(#{1,3}) (.*)", block):
        level = len(heading[1])
        return f"<h{level}>{html.escape(heading[2])}</h{level}>"
    if picture := re.fullmatch(r"!\[([^\]]*)\]\(([\w./-]+)\)", block):
        return f'<p><img src="{html.escape(picture[2])}" alt="{html.escape(picture[1])}"></p>'
    if lines[0].startswith("| "):
        return _table(lines)
    if lines[0].startswith("- "):
        items = re.split(r"^- ", block, flags=re.M)[1:]
        return "<ul>" + "".join(f"<li>{html.escape(' '.join(item.split()))}</li>" for item in items) + "</ul>"
    return f"<p>{html.escape(' '.join(lines))}</p>"


def _table(lines: list[str]) -> str:
    """The second line only parts the head from the rows."""
    rows = [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in (lines[0], *lines[2:])]
    cells = [
        "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) for tag, row in zip(["th"] + ["td"] * len(rows), rows, strict=False)
    ]
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>"
