"""Engines that map a function over shards: local processes, Ray Data."""
