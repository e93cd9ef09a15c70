"""spnl-chat: talk to language models that run on this machine, from the terminal."""
