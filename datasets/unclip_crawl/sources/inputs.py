"""Inputs of a crawl: what a batch is made from, checked and known by its digests in one pass, before anything is fetched."""

from pathlib import Path

from unclip_crawl.addresses import is_remote
from unclip_crawl.pictures.hash_list import read_hash_list
from unclip_crawl.settings import CrawlSettings
from unclip_crawl.sources.lists import check_list, pairs_from_folder
from unclip_pairs.errors import UserError
from unclip_pairs.manifest import file_digest, settings_digest


def checked_inputs(settings: CrawlSettings) -> dict[str, str]:
    """What the batch is made from: the digest of each list and of the hash list, and of the names, sizes and captions in each folder.

    The hash list, every list and every folder's captions are read through. Archives and shards are long: here they only have to be there,
    and are known by their digest on this machine, elsewhere by their address, like sitemaps. `UserError` at the first flaw.
    """
    hash_list = {"hash_list": read_hash_list(settings.hash_list).digest} if settings.hash_list else {}
    packed = (*settings.archives, *settings.shards)
    for address in packed:
        if not is_remote(address) and not Path(address).is_file():
            raise UserError(f"{address} is not a file; check the path")
    digests = {path: check_list(path) for path in settings.lists}
    digests |= {folder: _folder_digest(folder) for folder in settings.folders}
    digests |= {address: _address_digest(address) if is_remote(address) else file_digest(Path(address)) for address in packed}
    return digests | {url: _address_digest(url) for url in settings.sitemaps} | hash_list


def _address_digest(address: str) -> str:
    return settings_digest([address])


def _folder_digest(folder: str) -> str:
    return settings_digest([[pair.key, pair.licence, path.stat().st_size] for pair, path in pairs_from_folder(folder)])
