"""Finding and fetching image-text pairs: sites, lists and folders become shards; every address ends as a row."""
