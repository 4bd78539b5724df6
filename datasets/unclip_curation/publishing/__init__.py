"""Dataset versions: shards, data card, Croissant, copies in a bucket."""
