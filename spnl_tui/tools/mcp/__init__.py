"""Tools of MCP servers, through the official SDK, which only this folder imports, and only on first use."""
