"""Similarity of pictures: perceptual hashes, nearest neighbours, pixel comparison."""
