"""The commands about servers: this program as one, its resident engine, and the endpoints."""
