"""The five networks as one generator: prompt to embedding to picture to larger picture. It knows no HTTP and no registry."""
