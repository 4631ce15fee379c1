"""Everything that can come of a scenario: all orders of its threads' micro-steps, and all that may come in between.

>>> import lazymmu
>>> found = lazymmu.explore("explore/interrupt", "arm64", scheme="begin-end")
>>> found.complete, found.ok
(True, False)
>>> sorted({hazard.code for outcome in found.outcomes for hazard in outcome.hazards if hazard.severity == "breaks"})
['H1', 'H15']
"""

from __future__ import annotations

from lazymmu.explore.outcomes import Exploration, Mapping, Outcome
from lazymmu.explore.search import Progress, Settings, explore, explore_workload

__all__ = ["Exploration", "Mapping", "Outcome", "Progress", "Settings", "explore", "explore_workload"]
