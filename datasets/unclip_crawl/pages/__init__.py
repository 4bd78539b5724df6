"""Pages: their charset, the pictures and links in their HTML, and what stands around a picture."""
