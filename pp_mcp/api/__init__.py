"""The PlusPlus Public API v2 as typed verbs: paths, repeats, rate limits and lost answers are dealt with here."""

from pp_mcp.api.client import Api, Client
from pp_mcp.api.limits import SYSTEM_CLOCK, Clock
from pp_mcp.api.routes import ROUTES, Route, check_id, override
from pp_mcp.api.send import Written

__all__ = ["ROUTES", "SYSTEM_CLOCK", "Api", "Client", "Clock", "Route", "Written", "check_id", "override"]
