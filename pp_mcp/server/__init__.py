"""The server: tools as clients see them, over stdio and streamable HTTP."""
