"""The audit log: who changed what through this server, in chained lines that show when one was edited or removed."""

from pp_mcp.audit.log import MASKED, AuditLog, Entry
from pp_mcp.audit.read import Finding, Line, read_lines, shown, verify

__all__ = ["MASKED", "AuditLog", "Entry", "Finding", "Line", "read_lines", "shown", "verify"]
