"""Graph of a lineage as SVG: each step once, in rows from what was crawled at the top to the bundle at the bottom."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from unclip_release.lineage import Lineage

WIDTH, BOX, SPACE, ROW, MARGIN = 1120, 152, 10, 74, 12
_HEIGHT = 40
_LETTERS = 22  # of a name that is cut to fit its box


@dataclass(frozen=True)
class GraphNode:
    """One step of the lineage; `inputs` are the digests of the steps that it was made from, as far as they are known."""

    digest: str
    kind: str
    name: str
    details: str
    inputs: tuple[str, ...]


def graph_steps(lineage: Lineage) -> dict[str, GraphNode]:
    """The steps that the walk reaches, by digest, the bundle's first."""
    steps = dict[str, GraphNode]()
    waiting = [lineage.digest]
    while waiting:
        found = lineage.index.find(waiting.pop(0))
        if found is None or found.manifest is None or found.is_copy or found.manifest.digest in steps:
            continue
        manifest, inputs = found.manifest, list[str]()
        for source in manifest.inputs.values():
            inner = lineage.index.find(source)
            if inner is not None and inner.manifest is not None and not inner.is_copy:
                inputs.append(inner.manifest.digest)
        details = f"{found.name}\n{manifest.digest}\nmade {manifest.created}"
        steps[manifest.digest] = GraphNode(manifest.digest, manifest.kind, _short(found.name), details, tuple(dict.fromkeys(inputs)))
        waiting += inputs
    return steps


def graph_svg(lineage: Lineage) -> str:
    """The graph as one `<svg>` element without script; empty when the bundle is not in the store."""
    steps = graph_steps(lineage)
    places = _places(steps)
    if not places:
        return ""
    width = max(WIDTH, max(x for x, _ in places.values()) + BOX + MARGIN)
    height = max(y for _, y in places.values()) + _HEIGHT + MARGIN
    edges = [_edge(places[source], places[step.digest]) for step in steps.values() for source in step.inputs]
    boxes = [_box(step, places[step.digest]) for step in steps.values()]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img"'
    return f'{head} aria-label="The steps from the crawl to the bundle">{"".join(edges)}{"".join(boxes)}</svg>'


def _short(name: str) -> str:
    folder, _, file = name.removesuffix(".json").rpartition("/")
    return folder.partition("/")[2] or folder if file == "manifest" else name.removesuffix(".json").partition("/")[2]


def _rows(steps: Mapping[str, GraphNode]) -> dict[str, int]:
    """How many steps lie before each, at most: a step stands below everything that it was made from."""
    rows = dict[str, int]()

    def row(digest: str) -> int:
        if digest not in rows:
            rows[digest] = 1 + max((row(source) for source in steps[digest].inputs), default=-1)
        return rows[digest]

    for digest in steps:
        row(digest)
    return rows


def _places(steps: Mapping[str, GraphNode]) -> dict[str, tuple[int, int]]:
    """The upper left corner of each step's box; within a row in the order of what they were made from, so that few edges cross."""
    rows, places = _rows(steps), dict[str, tuple[int, int]]()
    for number in range(max(rows.values(), default=-1) + 1):
        members = [digest for digest in steps if rows[digest] == number]
        above = {digest: [places[source][0] for source in steps[digest].inputs] for digest in members}
        members.sort(key=lambda digest: (sum(above[digest]) / len(above[digest]) if above[digest] else 0, steps[digest].name))
        left = max(MARGIN, (WIDTH - len(members) * (BOX + SPACE)) // 2)
        for place, digest in enumerate(members):
            places[digest] = left + place * (BOX + SPACE), MARGIN + number * ROW
    return places


def _edge(source: tuple[int, int], target: tuple[int, int]) -> str:
    x, y, to_x, to_y = source[0] + BOX // 2, source[1] + _HEIGHT, target[0] + BOX // 2, target[1]
    bend = max(ROW - _HEIGHT, (to_y - y) // 2)
    return f'<path class="edge" d="M{x} {y}C{x} {y + bend} {to_x} {to_y - bend} {to_x} {to_y}"/>'


def _box(step: GraphNode, place: tuple[int, int]) -> str:
    x, y = place
    name = step.name if len(step.name) <= _LETTERS else f"{step.name[: _LETTERS - 1]}…"
    rectangle = f'<rect x="{x}" y="{y}" width="{BOX}" height="{_HEIGHT}" rx="5"/>'
    words = f'<text class="kind" x="{x + 8}" y="{y + 15}">{escape(step.kind)}</text><text x="{x + 8}" y="{y + 31}">{escape(name)}</text>'
    return f'<g class="step {escape(step.kind)}"><title>{escape(step.details)}</title>{rectangle}{words}</g>'
