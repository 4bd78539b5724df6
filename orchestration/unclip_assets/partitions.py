"""Partitions: one per crawl batch. A batch holds whole hosts, so that a host's pace is right by construction."""

import dagster as dg

CRAWL_BATCHES = "crawl_batches"
crawl_batches = dg.DynamicPartitionsDefinition(name=CRAWL_BATCHES)
