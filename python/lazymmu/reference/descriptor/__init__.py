"""Encode, decode and predicates of each architecture's entry format. Knows nothing of where tables live."""

from __future__ import annotations

from lazymmu.reference.descriptor.arm64 import Arm64Format
from lazymmu.reference.descriptor.base import Format
from lazymmu.reference.descriptor.x86 import X86Format

__all__ = ["Arm64Format", "Format", "X86Format"]
