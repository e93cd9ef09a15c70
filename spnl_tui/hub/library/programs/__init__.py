"""Models that other programs keep on this disk: found in place and never changed."""
