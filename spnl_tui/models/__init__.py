"""What a model is. Pure: no network, no processes, no Textual."""
