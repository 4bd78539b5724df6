"""The parts of the crawl that live inside Scrapy's process; nothing outside `python -m unclip_crawl` imports them."""
