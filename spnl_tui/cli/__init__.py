"""The command line: argument parsing only. Every command calls a function of `headless/`."""
