"""Reporting: what an asset took and made, as Dagster metadata and as progress."""
