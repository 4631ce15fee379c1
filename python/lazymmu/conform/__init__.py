"""Does the model do what a recorded kernel did?"""

from __future__ import annotations

from lazymmu.conform.compare import Difference, Report, conform

__all__ = ["Difference", "Report", "conform"]
