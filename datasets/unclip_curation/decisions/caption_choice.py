"""Choice of captions: the policy's SQL says which texts of its page a kept pair has beside its caption."""

import duckdb
import pyarrow as pa

from unclip_curation.caption_lists import CAPTION_LIST_SCHEMA, CAPTION_LISTS
from unclip_curation.features import kept_keys, required
from unclip_curation.policy import Policy
from unclip_curation.tables import add_policy, open_tables
from unclip_pairs.errors import UserError
from unclip_pairs.manifest import Manifest, is_done, make_manifest, write_manifest
from unclip_pairs.shards import write_parquet
from unclip_pairs.store import Store


def choose_captions(store: Store, policy: Policy) -> Manifest:
    """Writes `verdicts/captions.parquet` (`CAPTION_LIST_SCHEMA`): of each pair that the safety stage keeps the texts beside its caption,
    best first; pairs that have none are left out.

    `UserError` when the safety stage is not decided by this policy, or the policy's SQL does not run.
    """
    safety = required(store, "verdicts/safety.json", "decide the stage 'safety' first")
    if safety.settings.get("policy_version") != policy.version:
        raise UserError(f"the safety verdicts are of policy {safety.settings.get('policy_version')}, not {policy.version}; decide again")
    inputs = {"verdicts/safety": safety.digest}
    if is_done(store, f"{CAPTION_LISTS}.json", inputs, {}):
        return required(store, f"{CAPTION_LISTS}.json", "choose again")
    table = chosen_captions(store, policy, kept_keys(store, "safety"))
    write_parquet(store, f"{CAPTION_LISTS}.parquet", table, manifest=f"{CAPTION_LISTS}.json")
    counts = {"rows": table.num_rows, "texts": len(table["texts"].combine_chunks().flatten())}
    manifest = make_manifest(store, "verdicts", [f"{CAPTION_LISTS}.parquet"], inputs=inputs, counts=counts)
    return write_manifest(store, f"{CAPTION_LISTS}.json", manifest)


def chosen_captions(store: Store, policy: Policy, keys: set[str]) -> pa.Table:
    """`CAPTION_LIST_SCHEMA` of those keys that have texts beside their caption, sorted by key; `UserError` when the SQL does not run."""
    with open_tables(store) as connection:
        add_policy(connection, policy)
        connection.register("kept", pa.table({"key": pa.array(sorted(keys), pa.string())}))
        try:
            found = connection.sql("SELECT key, texts, sources FROM chosen_captions SEMI JOIN kept USING (key) ORDER BY key")
            return found.to_arrow_table().cast(CAPTION_LIST_SCHEMA)
        except duckdb.Error as error:
            raise UserError(f"the policy's SQL does not run ({' '.join(str(error).split())}); put it right") from error
