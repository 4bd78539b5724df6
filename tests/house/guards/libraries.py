"""Libraries that have one home: who may import them, wherever in a file the import stands."""

from guards.graph import imported_with
from guards.imports import imports
from guards.sources import Tree, modules, on_shelves

HOMES = {
    "mlflow": ("training/unclip_training/tracking.py", "deploy/unclip_release/registry.py"),
    "lightning": ("training/unclip_training/",),
    "torch": ("training/",),
    "torchvision": ("training/unclip_training/",),
    "open_clip": ("training/unclip_training/", "training/unclip_models/"),
    "diffusers": ("training/unclip_generation/open_weights/parts.py",),
    "transformers": ("training/unclip_generation/open_weights/parts.py",),
    "webdataset": ("training/unclip_training/",),
    "dagster": ("orchestration/",),
    "dagster_pipes": ("training/unclip_training/__main__.py",),
    "fastapi": ("deploy/unclip_server/",),
    "starlette": ("deploy/unclip_server/",),
    "uvicorn": ("deploy/unclip_server/",),
    "clip_retrieval": ("deploy/unclip_server/search/clip_retrieval_engine.py",),
    "scrapy": ("datasets/unclip_crawl/spider/",),
    "twisted": ("datasets/unclip_crawl/spider/",),
    "ray": ("datasets/unclip_curation/engines/ray.py",),
    "typer": ("orchestration/unclip_orchestration/",),
}
HEAVY = {"torch", "lightning", "clip_retrieval", "mlflow", "scrapy", "onnxruntime", "faiss", "ray", "diffusers", "transformers"}
LIGHT_PACKAGES = {
    *("unclip_pairs", "unclip_crawl", "unclip_curation", "unclip_labels", "unclip_starter", "unclip_safety", "unclip_release"),
    *("unclip_assets", "unclip_orchestration"),
}
HEAVY_ROOMS = ("unclip_crawl.spider",)  # the room that is the Scrapy project; the crawl starts it in a process of its own


def outside_their_home(tree: Tree) -> list[str]:
    """Imports of a library by a file that is not its home."""
    return [
        f"{path}:{found.line} imports {found.library}"
        for path, text in on_shelves(tree).items()
        for found in imports(text)
        if found.library in HOMES and not path.startswith(HOMES[found.library])
    ]


def light_modules(tree: Tree) -> list[str]:
    """The modules that anything may import at once: sub-packages included, commands (`__main__`) and heavy rooms left out."""
    return [
        module
        for module in modules(tree)
        if module.split(".")[0] in LIGHT_PACKAGES
        and not module.endswith("__main__")
        and not (f"{module}.").startswith(tuple(f"{room}." for room in HEAVY_ROOMS))
    ]


def heavy_in_light_rooms(tree: Tree) -> list[str]:
    """Chains of imports by which a light module loads a heavy library as soon as it is imported itself."""
    return imported_with(tree, light_modules(tree), HEAVY)
