"""`python -m pp_mcp` is `pp-mcp`."""

from pp_mcp.cli import main

if __name__ == "__main__":
    main()
