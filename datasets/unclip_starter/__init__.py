"""The starter corpus and the planted web site that publishes it on loopback."""
