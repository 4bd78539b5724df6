"""HTML pages about policies, duplicates and leaks."""
