"""Whether the model does what a recorded kernel did.

The recorded commands run in a machine that starts with what the kernel had, and everything that the record shows is
compared with what the model did.
"""

from __future__ import annotations

from lazymmu.conform.compare import conform
from lazymmu.conform.report import Difference, Report

__all__ = ["Difference", "Report", "conform"]
