"""A demo tenant: the PlusPlus Public API v2 over sqlite, with its own seed data, state and faults.

Written from the API's documents alone; it imports nothing else of this project, so that one misreading cannot be right
on both sides.
"""

from pp_mcp.demo.app import Arrival
from pp_mcp.demo.errors import ConnectionDropped
from pp_mcp.demo.faults import Faults
from pp_mcp.demo.tenant import DEMO_TOKEN, Sizes, Tenant

__all__ = ["DEMO_TOKEN", "Arrival", "ConnectionDropped", "Faults", "Sizes", "Tenant"]
