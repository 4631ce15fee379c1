"""Which helpers for user leaves a format has."""

from __future__ import annotations

from lazymmu.reference.codes import PMD, PTE
from lazymmu.reference.descriptor import Arm64Format, Format, X86Format
from lazymmu.reference.descriptor.arm import ArmFormat
from lazymmu.reference.descriptor.loongarch import LoongarchFormat
from lazymmu.reference.descriptor.powerpc import PowerPcFormat
from lazymmu.reference.descriptor.riscv import RiscvFormat
from lazymmu.reference.descriptor.s390 import S390Format
from lazymmu.reference.descriptor.sparc64 import Sparc64Format
from lazymmu.reference.user.leaf import Arm64Leaf, Leaf, X86Leaf
from lazymmu.reference.user.leaf_arm import ArmLeaf
from lazymmu.reference.user.leaf_loongarch import LoongarchLeaf
from lazymmu.reference.user.leaf_powerpc import PowerPcLeaf
from lazymmu.reference.user.leaf_riscv import RiscvLeaf
from lazymmu.reference.user.leaf_s390 import S390Leaf
from lazymmu.reference.user.leaf_sparc64 import Sparc64Leaf


def leaf_of(table_format: Format) -> Leaf | None:
    """The helpers of a format; None where user mappings are not modelled."""
    if isinstance(table_format, X86Format):
        return X86Leaf(table_format)
    if isinstance(table_format, RiscvFormat):
        return RiscvLeaf(table_format)
    if isinstance(table_format, PowerPcFormat):
        return PowerPcLeaf(table_format)
    if isinstance(table_format, S390Format):
        return S390Leaf(table_format, PTE)
    if isinstance(table_format, LoongarchFormat):
        return LoongarchLeaf(table_format)
    if isinstance(table_format, ArmFormat):
        return ArmLeaf(table_format)
    if isinstance(table_format, Sparc64Format):
        return Sparc64Leaf(table_format)
    return Arm64Leaf(table_format) if isinstance(table_format, Arm64Format) else None


def large_leaf_of(table_format: Format, leaf: Leaf) -> Leaf:
    """The helpers for large leaves: mostly the same."""
    return S390Leaf(table_format, PMD) if isinstance(table_format, S390Format) else leaf
