"""spnl-chat: talk to language models that run on this machine, from the terminal."""

__version__ = "0.1.0"
