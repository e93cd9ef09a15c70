"""The tools of models: built-in tools, MCP servers, and the permissions for calls."""
