"""Facts and values that describe models. No network, no processes, no Textual."""
