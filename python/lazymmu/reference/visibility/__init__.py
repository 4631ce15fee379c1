"""The memory model in its plain form: what a CPU, a walker or a TLB may still see or hold.

There is one log, a total order of the effects that more than one party can notice. What a CPU may use at an access is
a set derived from it: :func:`walks` for translations, :meth:`Ordering.readings` for data. Sources: the Arm memory model
with translation (``aarch64.cat`` of herdtools7), Intel SDM volume 3 (chapters on paging and ordering), the RISC-V
unprivileged (RVWMO) and privileged specifications.
"""

from lazymmu.reference.visibility.cpu import Fence, Ordering, OwnInvalidation, Profile, Reading
from lazymmu.reference.visibility.log import (
    ENVIRONMENT,
    NEVER,
    START,
    Completed,
    Effect,
    Invalidation,
    Log,
    Scope,
    Version,
    View,
    Write,
    at,
    full,
    join,
    picked,
)
from lazymmu.reference.visibility.translate import Regime, Request, Update, Walk, walks

__all__ = [
    "ENVIRONMENT", "NEVER", "START", "Completed", "Effect", "Fence", "Invalidation", "Log", "Ordering",
    "OwnInvalidation", "Profile", "Reading", "Regime", "Request", "Scope", "Update", "Version", "View", "Walk", "Write",
    "at", "full", "join", "picked", "walks",
]  # fmt: skip
