"""What was said: conversations as trees of turns, and where they are kept."""
