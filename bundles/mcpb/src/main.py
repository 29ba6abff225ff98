"""Starts the server that the bundle's project brings."""

from pp_mcp.cli import main

main()
