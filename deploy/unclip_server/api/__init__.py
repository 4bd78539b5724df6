"""The Images API."""
