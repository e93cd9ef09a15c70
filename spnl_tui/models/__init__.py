"""Facts and values that describe models. Pure: no network, no processes, no Textual."""
