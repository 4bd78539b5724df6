"""The server: the Images API of DALL·E 2 over the champion, with keys, refusals and provenance."""
