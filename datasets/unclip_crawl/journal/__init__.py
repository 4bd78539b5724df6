"""What a crawl has settled: its journal, its rows, and what is looked at again."""
