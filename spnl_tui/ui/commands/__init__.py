"""The commands: keys, palette, slash commands and help."""
