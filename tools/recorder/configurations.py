"""The kernels that can be recorded: one entry of the table each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

COMMON = (
    "EXPERT", "MMU", "SMP", "PRINTK", "BUG", "TTY", "BLK_DEV_INITRD", "BINFMT_ELF", "PROC_FS", "SYSFS", "DEBUG_KERNEL",
    "DEBUG_FS", "SHMEM", "TMPFS", "MEMFD_CREATE", "ADVISE_SYSCALLS", "FUTEX", "MULTIUSER", "POSIX_TIMERS", "KALLSYMS",
    "KALLSYMS_ALL", "MODULES", "KPROBES", "HUGETLBFS", "TRANSPARENT_HUGEPAGE", "TRANSPARENT_HUGEPAGE_MADVISE",
    "VMAP_STACK",
)  # fmt: skip
"""Options that every kernel gets where its architecture has them."""


@dataclass(frozen=True)
class Configuration:
    """How one kernel is built and booted.

    ``options``: Kconfig symbols that are set (``-NAME``: not set, ``NAME=value``: to that).
    ``features``: what its command script may use beyond mapping and unmapping.
    """

    arch: str
    """``ARCH`` of the kernel's build, and in the name of the recording."""
    name: str
    cross: str
    qemu: tuple[str, ...]
    image: str
    """The kernel that QEMU loads, below the build directory."""
    console: str
    options: tuple[str, ...] = ()
    command_line: str = ""
    make: tuple[str, ...] = ()
    user_flags: tuple[str, ...] = ()
    """Flags for the guest's program."""
    user_window: int = 0x50_0000_0000
    io: int = 0x40_0000_0000
    """Where memory that is none may lie: what `vmap_page_range` and `ioremap` map."""
    area_bytes: int = 0
    """Of the area in which ranges are mapped, where the vmalloc space is small."""
    outside: int = 0
    """A place beside the vmalloc space, with an empty top-level entry of its own."""
    features: frozenset[str] = field(default_factory=frozenset)
    ptdump: tuple[str, ...] = ()
    memory: int = 512
    cpus: int = 2
    operations: int = 220
    """Random commands besides the fixed ones."""
    image_arch: str = ""
    """The architecture's name in a table image and in recordings."""
    build: str = ""
    """The name of the build, where configurations differ in what they are booted on."""

    @property
    def key(self) -> str:
        """Its name on the command line."""
        return f"{self.image_arch}-{self.name}"

    @property
    def folder(self) -> str:
        """The name of its build."""
        return f"{self.image_arch}-{self.build or self.name}"


def _like(base: Configuration, name: str, *more: str, **changes: object) -> Configuration:
    return replace(base, name=name, options=base.options + more, **changes)  # type: ignore[arg-type]


SET_MEMORY = frozenset({"setmem", "setdirect", "lin"})
IOREMAP = frozenset({"ioremap"})
HUGE = frozenset({"huge"})
LARGER = frozenset({"huge", "larger"})
TOUCH = frozenset({"touch"})
"""Pages are used, so that a hash table has them."""

_ARM64 = Configuration(
    arch="arm64",
    name="",
    cross="aarch64-linux-gnu-",
    qemu=("qemu-system-aarch64", "-M", "virt,gic-version=3", "-cpu", "cortex-a76"),
    image="arch/arm64/boot/Image",
    console="ttyAMA0",
    options=("SERIAL_AMBA_PL011", "SERIAL_AMBA_PL011_CONSOLE", "ARM64_CONTPTE", "RODATA_FULL_DEFAULT_ENABLED",
             "UNMAP_KERNEL_AT_EL0", "-ARM64_VA_BITS_52"),
    features=SET_MEMORY | IOREMAP | HUGE,
    image_arch="arm64",
)  # fmt: skip
_ARM64_DUMP = ("PTDUMP_DEBUGFS",)
_DUMP_FILES = ("kernel_page_tables",)

_X86 = Configuration(
    arch="x86_64",
    name="",
    cross="",
    qemu=("qemu-system-x86_64", "-M", "pc", "-cpu", "max"),
    image="arch/x86/boot/bzImage",
    console="ttyS0",
    options=("64BIT", "SERIAL_8250", "SERIAL_8250_CONSOLE", "X86_MPPARSE", "MTRR", "X86_PAT", "KERNEL_GZIP"),
    features=SET_MEMORY | IOREMAP | LARGER,
    image_arch="x86_64",
    user_window=0x5000_0000_0000,
)
_I386 = replace(
    _X86,
    arch="i386",
    qemu=("qemu-system-i386", "-M", "pc", "-cpu", "max,-la57"),
    options=("-64BIT", "SERIAL_8250", "SERIAL_8250_CONSOLE", "X86_MPPARSE", "KERNEL_GZIP", "VMSPLIT_3G"),
    user_flags=("-m32",),
    user_window=0x5000_0000,
    io=0x8000_0000,
    area_bytes=0x300_0000,
    image_arch="i386",
)
_X86_DUMP = ("page_tables/kernel", "page_tables/current_kernel", "page_tables/current_user")

_RISCV = Configuration(
    arch="riscv",
    name="",
    cross="riscv64-linux-gnu-",
    qemu=("qemu-system-riscv64", "-M", "virt", "-cpu", "rv64,svnapot=on,svpbmt=on"),
    image="arch/riscv/boot/Image",
    console="ttyS0",
    options=("64BIT", "SERIAL_8250", "SERIAL_8250_CONSOLE", "SERIAL_OF_PLATFORM", "RISCV_SBI", "FPU", "RISCV_ISA_C",
             "RISCV_ALTERNATIVE", "RISCV_ISA_FALLBACK", "ARCH_VIRT", "RISCV_ISA_SVNAPOT", "RISCV_ISA_SVPBMT",
             "STRICT_KERNEL_RWX", "PTDUMP_DEBUGFS", "NONPORTABLE"),
    features=SET_MEMORY | IOREMAP | LARGER,
    ptdump=_DUMP_FILES,
    image_arch="riscv64",
)  # fmt: skip

_S390 = Configuration(
    arch="s390",
    name="",
    cross="s390x-linux-gnu-",
    qemu=("qemu-system-s390x", "-M", "s390-ccw-virtio", "-cpu", "max"),
    image="arch/s390/boot/bzImage",
    console="ttysclp0",
    options=("SCLP_VT220_TTY", "SCLP_VT220_CONSOLE", "MARCH_Z196", "PCI", "PTDUMP_DEBUGFS", "KERNEL_UNCOMPRESSED"),
    ptdump=_DUMP_FILES,
    image_arch="s390x",
)  # fmt: skip

_PSERIES = "pseries,cap-htm=off,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken"
_PPC = Configuration(
    arch="powerpc",
    name="",
    cross="powerpc64le-linux-gnu-",
    qemu=("qemu-system-ppc64", "-M", _PSERIES, "-cpu", "POWER9"),
    image="vmlinux",
    console="hvc0",
    options=("PPC64", "PPC_BOOK3S_64", "PPC_PSERIES", "PPC_OF_BOOT_TRAMPOLINE", "RELOCATABLE", "HVC_CONSOLE",
             "CPU_LITTLE_ENDIAN", "POWER9_CPU", "PPC_RADIX_MMU", "PPC_RADIX_MMU_DEFAULT", "PPC_64S_HASH_MMU",
             "PTDUMP_DEBUGFS", "STRICT_KERNEL_RWX"),
    # The kernel has no vector registers for programs.
    user_flags=("-mno-vsx", "-mno-altivec"),
    features=IOREMAP | LARGER | frozenset({"setmem"}),
    ptdump=_DUMP_FILES,
    image_arch="ppc64",
)  # fmt: skip

_ARM = Configuration(
    arch="arm",
    name="",
    cross="arm-linux-gnueabihf-",
    qemu=("qemu-system-arm", "-M", "virt,highmem=off", "-cpu", "cortex-a15"),
    image="arch/arm/boot/zImage",
    console="ttyAMA0",
    options=("ARCH_MULTIPLATFORM", "ARCH_MULTI_V7", "ARCH_VIRT", "SERIAL_AMBA_PL011", "SERIAL_AMBA_PL011_CONSOLE",
             "AEABI", "VFP", "NEON", "ARM_PSCI", "ARM_PTDUMP_DEBUGFS", "SMP_ON_UP", "HAVE_ARM_ARCH_TIMER",
             "VMSPLIT_3G"),
    user_flags=("-marm",),
    user_window=0x5000_0000,
    io=0x9000_0000,
    area_bytes=0x300_0000,
    features=IOREMAP,
    ptdump=_DUMP_FILES,
    image_arch="arm",
)  # fmt: skip

_SPARC = Configuration(
    arch="sparc64",
    name="",
    cross="sparc64-linux-gnu-",
    qemu=("qemu-system-sparc64", "-M", "sun4u"),
    image="vmlinux",
    console="ttyS0",
    options=("64BIT", "PCI", "SERIAL_SUNSU", "SERIAL_SUNSU_CONSOLE", "SBUS", "NR_CPUS=4", "SPARSEMEM_VMEMMAP"),
    image_arch="sun4u",
    # Where the model has users: below what are addresses of the kernel, too.
    user_window=0x5000_0000,
    cpus=1,
)

_LOONGARCH = Configuration(
    arch="loongarch",
    name="",
    cross="",
    qemu=("qemu-system-loongarch64", "-M", "virt", "-cpu", "la464-loongarch-cpu"),
    image="vmlinux",
    console="ttyS0",
    options=(
        "64BIT",
        "MACH_LOONGSON64",
        "SERIAL_8250",
        "SERIAL_8250_CONSOLE",
        "SERIAL_OF_PLATFORM",
        "EFI",
        "EFI_STUB",
        "CPU_HAS_FPU",
        "NR_CPUS=4",
    ),
    make=("LLVM=-19",),
    # The kernel has no vector registers for programs.
    user_flags=("-mno-lsx",),
    image_arch="loongarch64",
    memory=1024,
)

ALL = (
    _like(_ARM64, "4k39", "ARM64_4K_PAGES", "ARM64_VA_BITS_39", features=SET_MEMORY | IOREMAP | LARGER),
    _like(_ARM64, "4k48huge", "ARM64_4K_PAGES", "ARM64_VA_BITS_48", features=SET_MEMORY | IOREMAP | LARGER),
    _like(_ARM64, "16k47", "ARM64_16K_PAGES", "ARM64_VA_BITS_47"),
    _like(_ARM64, "16k48", "ARM64_16K_PAGES", "ARM64_VA_BITS_48"),
    _like(_ARM64, "16k36", "ARM64_16K_PAGES", "ARM64_VA_BITS_36", user_window=0x4_0000_0000, io=0x10_0000_0000),
    _like(_ARM64, "64k42", "ARM64_64K_PAGES", "ARM64_VA_BITS_42", memory=1024),
    _like(_ARM64, "64k48", "ARM64_64K_PAGES", "ARM64_VA_BITS_48", memory=1024),
    _like(_ARM64, "4k39-ptdump", "ARM64_4K_PAGES", "ARM64_VA_BITS_39", *_ARM64_DUMP, ptdump=_DUMP_FILES),
    # With the dump, nothing is mapped by blocks.
    _like(_ARM64, "16k48-ptdump", "ARM64_16K_PAGES", "ARM64_VA_BITS_48", *_ARM64_DUMP, ptdump=_DUMP_FILES),
    _like(_ARM64, "4k52-ptdump", "ARM64_4K_PAGES", "ARM64_VA_BITS_52", "ARM64_PA_BITS_52", *_ARM64_DUMP,
          ptdump=_DUMP_FILES, qemu=("qemu-system-aarch64", "-M", "virt,gic-version=3", "-cpu", "max")),
    _like(_ARM64, "4k39-debug_pagealloc", "ARM64_4K_PAGES", "ARM64_VA_BITS_39", "DEBUG_PAGEALLOC",
          "DEBUG_PAGEALLOC_ENABLE_DEFAULT"),
    _like(_X86, "5lvl", "X86_5LEVEL", "PTDUMP_DEBUGFS", ptdump=_X86_DUMP, user_window=0x50_0000_0000_0000,
          outside=0xffd2_0000_0000_0000),
    _like(_X86, "4lvl", "-X86_5LEVEL", "PTDUMP_DEBUGFS", "PCI", "ACPI", "IOMMU_SUPPORT", "AMD_IOMMU",
          ptdump=_X86_DUMP, command_line="no5lvl", outside=0xffff_eb80_0000_0000),
    _like(_X86, "4lvl-pti", "-X86_5LEVEL", "CPU_MITIGATIONS", "MITIGATION_PAGE_TABLE_ISOLATION", "PTDUMP_DEBUGFS",
          ptdump=_X86_DUMP, command_line="pti=on", outside=0xffff_eb80_0000_0000),
    _like(_X86, "4lvl-debug_pagealloc", "-X86_5LEVEL", "DEBUG_PAGEALLOC", "DEBUG_PAGEALLOC_ENABLE_DEFAULT",
          outside=0xffff_eb80_0000_0000),
    _like(_I386, "pae-nopti", "HIGHMEM64G", "X86_PAE", "PTDUMP_DEBUGFS", ptdump=_X86_DUMP, memory=1280),
    _like(_I386, "pae", "HIGHMEM4G", "X86_PAE", "PTDUMP_DEBUGFS", ptdump=_X86_DUMP, memory=1280),
    _like(_I386, "2level", "HIGHMEM4G", "PTDUMP_DEBUGFS", ptdump=_X86_DUMP, memory=1280, io=0xa000_0000),
    _like(_I386, "2level-nohighmem-debug_pagealloc", "NOHIGHMEM", "DEBUG_PAGEALLOC",
          "DEBUG_PAGEALLOC_ENABLE_DEFAULT", io=0xa000_0000),
    _like(_RISCV, "sv39", build="sv", command_line="no4lvl", user_window=0x10_0000_0000),
    _like(_RISCV, "sv48", build="sv", command_line="no5lvl"),
    _like(_RISCV, "sv57", build="sv"),
    _like(_RISCV, "sv48-nosvpbmt-debug_pagealloc", "-RISCV_ISA_SVPBMT", "-RISCV_ISA_SVNAPOT", "-PTDUMP_DEBUGFS",
          "DEBUG_PAGEALLOC", "DEBUG_PAGEALLOC_ENABLE_DEFAULT", command_line="no5lvl", ptdump=()),
    _like(_RISCV, "sv32", "-64BIT", "32BIT", "ARCH_RV32I", cross="",
          qemu=("qemu-system-riscv32", "-M", "virt"), make=("LLVM=-19",), image_arch="riscv32",
          user_window=0x5000_0000, io=0x4000_0000, area_bytes=0x300_0000),
    _like(_S390, "3level"),
    _like(_PPC, "radix4k", "PPC_4K_PAGES", build="4k"),
    _like(_PPC, "hash4k-power9", "PPC_4K_PAGES", build="4k", command_line="disable_radix"),
    _like(_PPC, "radix64k", "PPC_64K_PAGES", build="64k"),
    _like(_PPC, "hash64k", "PPC_64K_PAGES", build="64k", command_line="disable_radix", features=_PPC.features | TOUCH),
    _like(_ARM, "lpae", "ARM_LPAE"),
    _like(_ARM, "classic"),
    _like(_SPARC, "8k"),
    _like(_LOONGARCH, "16k3level", "16KB_3LEVEL"),
    _like(_LOONGARCH, "4k4level", "4KB_4LEVEL"),
    _like(_LOONGARCH, "64k2level", "64KB_2LEVEL", operations=260),
    _like(_ARM64, "4k52", "ARM64_4K_PAGES", "ARM64_VA_BITS_52", "ARM64_PA_BITS_52",
          qemu=("qemu-system-aarch64", "-M", "virt,gic-version=3", "-cpu", "max")),
    _like(_ARM64, "16k52", "ARM64_16K_PAGES", "ARM64_VA_BITS_52", "ARM64_PA_BITS_52",
          qemu=("qemu-system-aarch64", "-M", "virt,gic-version=3", "-cpu", "max")),
    _like(_ARM64, "16k52-on-47", "ARM64_16K_PAGES", "ARM64_VA_BITS_52", "ARM64_PA_BITS_52", build="16k52"),
    _like(_ARM64, "64k52", "ARM64_64K_PAGES", "ARM64_VA_BITS_52", "ARM64_PA_BITS_52", memory=1024,
          qemu=("qemu-system-aarch64", "-M", "virt,gic-version=3", "-cpu", "max")),
    _like(_ARM64, "64k52-on-48", "ARM64_64K_PAGES", "ARM64_VA_BITS_52", "ARM64_PA_BITS_52", memory=1024, build="64k52"),
    _like(_ARM64, "4k52-on-48", "ARM64_4K_PAGES", "ARM64_VA_BITS_52", "ARM64_PA_BITS_52", build="4k52"),
)  # fmt: skip
