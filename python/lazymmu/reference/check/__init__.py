"""Hazards: rules over events. Observers; they never change the machine."""

from __future__ import annotations

from lazymmu.reference.check.checker import Checker
from lazymmu.reference.check.track import Laws

__all__ = ["Checker", "Laws"]
