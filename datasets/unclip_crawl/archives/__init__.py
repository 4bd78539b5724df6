"""Web archives (WARC, WAT): reading them, seeking in them, and the pairs in them."""
