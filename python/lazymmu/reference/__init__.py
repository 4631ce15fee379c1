"""The reference: the whole model once more, in plain Python, to be read and to disagree with the core.

Where to begin: `kernel` is what everything shares, `walk` the kernel's loops, `scheme` where hooks are called,
`backend` what they do on an architecture, `check` what can go wrong, `run` the runner. The exact order of events is in
docs/model/micro-steps.md.
"""

from __future__ import annotations

from lazymmu.reference.errors import ConfigError, LazymmuError, ProgramError, RunError
from lazymmu.reference.run import Machine, run

__all__ = ["ConfigError", "LazymmuError", "Machine", "ProgramError", "RunError", "run"]
