"""Where pairs come from: lists, folders, sitemaps, tar shards, remote streams."""
