"""What a model may do besides writing: built-in tools, MCP servers, and the permissions for calls."""
