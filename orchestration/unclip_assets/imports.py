"""Imports: a model that was trained elsewhere becomes the present bundle, is evaluated where that can be done, and registered."""

from unclip_assets import candidates
from unclip_assets.candidates import Numbers
from unclip_assets.settings import Environment
from unclip_pairs.pointers import find, point
from unclip_pairs.progress import Progress
from unclip_pairs.store import Store
from unclip_release.bundle import bundle_folder
from unclip_release.gate_file import load_gate_policy
from unclip_release.imported import ImportRequest, import_model
from unclip_release.model_version import ModelVersion
from unclip_release.registry import open_registry

NEEDED = ("training_shards", "judge_model")


def imported(store: Store, environment: Environment, request: ImportRequest, numbers: Numbers, progress: Progress) -> ModelVersion:
    """The model as the registry's candidate, judged by the gates; run again, it keeps its version.

    Where a dataset and its judge are there, it is evaluated; else it is registered without figures, and the gate `evaluated` keeps it
    from becoming champion. `UserError` as in `import_model`.
    """
    gates, policies, registry = load_gate_policy(environment.gate_policy), environment.policies, environment.tracking_uri
    manifest = import_model(store, request, progress)
    point(store, "bundle", bundle_folder(manifest).removeprefix("bundles/"), manifest.digest)
    if any(find(store, name) is None for name in NEEDED):
        return open_registry(store, registry).register(manifest, {}, gates)
    candidates.evaluated(store, numbers, progress, policies)
    return candidates.registered(store, registry, policies, gates)
