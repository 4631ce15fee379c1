"""Dated facts and configuration choices that hold besides the scheme, with the defaults of each scheme."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from lazymmu.reference.errors import ConfigError

SCHEME_NAMES: Final = ("v6.12", "begin-end", "begin-end-lazy", "v6.16-rc1", "v6.16", "v7.0")


@dataclass(frozen=True)
class Options:
    """One field for each option; the defaults here are those of ``v6.12``."""

    child_errors: str = "enomem"
    vmap_alignment_check: bool = False
    pages_error_exit: str = "break"
    huge_table_trylock: bool = True
    partial_unmap_warn: bool = False
    hugetlb: bool = True
    huge_vmap: bool = True
    lazy_api: str = "plain"
    lazy_irq: str = "acts"
    begin_end_pending: bool = False
    begin_end_init_mm_only: bool = False
    begin_end_lazy: bool = False
    begin_end_flush_links: bool = False
    arm64_barriers: str = "each-store"
    arm64_cont_vmap: bool = False
    arm64_block_vmap: bool = True
    arm64_table_af: bool = False
    arm64_tlbi_all_at_limit: bool = False
    arm64_range_tlbi: bool = False
    arm64_bbml3: bool = False
    arm64_root_fixmap: bool = True
    x86_64_sync: bool = True
    x86_shared_kernel_pmd: bool = False
    x86_pud_free_scratch: bool = True
    x86_pse: bool = True
    x86_gbpages: bool = True
    x86_global: bool = True
    x86_pti: bool = False
    riscv_svpbmt: bool = True
    riscv_napot_vmap: bool = False
    riscv_svvptc: bool = False
    highpte: bool = True
    kmap_flush: bool = True
    xen_lazy: str = "nested"
    batched_user_ptes: bool = False
    pt_reclaim: bool = False
    rcu_table_free: bool = True
    arm64_contpte: bool = True
    arm64_flush_valid_only: bool = False
    arm64_flush_relaxed_local: bool = False
    s390_pte_batch: bool = False
    s390_rdp: bool = False
    s390_present_bits: bool = False
    xen_fork_balanced: bool = False

    def text(self, name: str) -> str:
        """The value of an option as people write it."""
        value = getattr(self, name, None)
        if not isinstance(value, bool | str):
            raise ConfigError(f"unknown option {name!r}; known: {', '.join(option_names())}")
        return value if isinstance(value, str) else str(value).lower()

    def with_changes(self, changes: Mapping[str, str | bool] | None) -> Options:
        """Other values for some options."""
        parsed: dict[str, Any] = {}
        for name, value in (changes or {}).items():
            if name not in option_names():
                raise ConfigError(f"unknown option {name!r}; known: {', '.join(option_names())}")
            parsed[name] = _value(name, value)
        return replace(self, **parsed)


_CHOICES: Final = {
    "child_errors": ("enomem", "unchanged"),
    "pages_error_exit": ("break", "return"),
    "lazy_api": ("plain", "counted"),
    "lazy_irq": ("acts", "ignored"),
    "arm64_barriers": ("each-store", "begin-end", "lazy-flag", "lazy-active"),
    "xen_lazy": ("nested", "single", "per-cpu-counts", "task-counts"),
}


def option_names() -> tuple[str, ...]:
    """All options."""
    return tuple(field.name for field in fields(Options))


def _value(name: str, value: str | bool) -> str | bool:
    if name in _CHOICES:
        if value not in _CHOICES[name]:
            raise ConfigError(f"option {name}: unknown value {value!r}; known: {', '.join(_CHOICES[name])}")
        return value
    if isinstance(value, bool):
        return value
    if value not in ("true", "false"):
        raise ConfigError(f"option {name}: unknown value {value!r}; known: true, false")
    return value == "true"


def defaults(scheme: str) -> Options:
    """What a kernel with this scheme does besides, if nothing else is said."""
    base = Options()
    if scheme == "begin-end":
        return replace(base, huge_table_trylock=False, arm64_barriers="begin-end")
    if scheme == "begin-end-lazy":
        return replace(base, huge_table_trylock=False, arm64_barriers="begin-end", begin_end_lazy=True)
    if scheme in ("v6.16-rc1", "v6.16"):
        return replace(
            base,
            pages_error_exit="return" if scheme == "v6.16-rc1" else "break",
            huge_table_trylock=False,
            partial_unmap_warn=True,
            lazy_irq="acts" if scheme == "v6.16-rc1" else "ignored",
            arm64_barriers="lazy-flag",
            arm64_cont_vmap=True,
            xen_lazy="single",
        )
    if scheme == "v7.0":
        return replace(
            base,
            child_errors="unchanged",
            vmap_alignment_check=True,
            partial_unmap_warn=True,
            lazy_api="counted",
            lazy_irq="ignored",
            arm64_barriers="lazy-active",
            arm64_cont_vmap=True,
            arm64_table_af=True,
            arm64_tlbi_all_at_limit=True,
            batched_user_ptes=True,
            pt_reclaim=True,
            arm64_flush_valid_only=True,
            arm64_flush_relaxed_local=True,
            x86_pud_free_scratch=False,
            xen_lazy="task-counts",
            s390_present_bits=True,
        )
    if scheme == "v6.12":
        return base
    raise ConfigError(f"unknown scheme {scheme!r}; known: {', '.join(SCHEME_NAMES)}")
