"""The commands that need no screen: each calls the same services as the interface."""
