"""The models on this disk: found, named, imported and deleted."""
