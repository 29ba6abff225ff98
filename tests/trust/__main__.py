"""`python -m tests.trust`: every attack and fault that the server promises to withstand, tried, as a table."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from trust.proof import main

if __name__ == "__main__":
    main()
