"""pp-mcp: an MCP server over the PlusPlus Public API v2."""

__version__ = "0.1.0"
