"""Emulated CPUs of Unicorn whose MMU walks tables that lazymmu built.

RAM is filled so that every word holds its own physical address: what a load returns is where the emulator's walk went.
Stores write the address that the model expects; afterwards RAM must be as before, so each one went where it should.
Pages of code hold, over and over, one instruction that loads the number of the page into a register.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import unicorn
from unicorn import arm64_const, arm_const, riscv_const, x86_const

import lazymmu

Uc = unicorn.Uc
FAULT = None


class Guest:
    """A CPU with an address space of a machine loaded: kernel mode, or user mode."""

    word = 8
    """Bytes of a load and a store."""
    faults_known = False
    """Whether it says which fault, and at which level."""

    def __init__(self, machine: lazymmu.Machine, ram: Sequence[range], text: range, entry: int, user: bool) -> None:
        self.machine, self.entry, self.user = machine, entry, user
        self.ram, self.text = ram, text
        self.uc = self.create()
        self.uc.ctl_set_tlb_mode(unicorn.UC_TLB_CPU)
        for window in ram:
            self.uc.mem_map(window.start, len(window))
            self.uc.mem_write(window.start, self.pattern(window))
        self.uc.mem_map(text.start, len(text))
        for pa in range(text.start, text.stop, 0x1000):
            unit = self.mark(pa >> 12)
            self.uc.mem_write(pa, unit * (0x1000 // len(unit)))
        for table in machine.image():
            at_root = table.level == len(machine.geometry["levels"])
            bytes_ = machine.geometry["root_bytes" if at_root else "entry_bytes"]
            data = table.words.astype(f"<u{bytes_}").tobytes()
            size = max(0x1000, -(-len(data) // 0x1000) * 0x1000)
            base = table.pa & ~0xFFF
            if not any(start <= base <= end for start, end, _ in self.uc.mem_regions()):
                self.uc.mem_map(base, size)
            self.uc.mem_write(table.pa, data)
        # The code of loads and stores is the first page of the text.
        self.uc.mem_write(text.start, self.stub())
        self.before: unicorn.unicorn.UcContext | None = None
        self.start()
        self.before = self.uc.context_save()

    def pattern(self, window: range) -> bytes:
        return np.arange(window.start, window.stop, self.word, dtype=np.uint64).astype(f"<u{self.word}").tobytes()

    def intact(self) -> bool:
        """Whether RAM is as it was."""
        return all(bytes(self.uc.mem_read(w.start, len(w))) == self.pattern(w) for w in self.ram)

    def run(self, pc: int) -> bool:
        """One instruction; False: it faulted.

        The emulator does not deliver the exception, so x86 takes a second one for a double fault, and a third one stops
        the CPU for good. What the CPU was like before is restored each time.
        """
        try:
            self.uc.emu_start(pc, 0, count=1)
        except unicorn.UcError as error:
            assert error.errno == unicorn.UC_ERR_EXCEPTION, f"not an exception of the CPU: {error}"
            if self.before is not None:
                self.uc.context_restore(self.before)
            return False
        assert self.uc.reg_read(self.PC) != pc, f"nothing runs at {pc:#x}"
        return True

    def create(self) -> Uc:
        raise NotImplementedError

    def start(self) -> None:
        raise NotImplementedError

    def stub(self) -> bytes:
        raise NotImplementedError

    def mark(self, page: int) -> bytes:
        raise NotImplementedError

    def marked(self, page: int) -> int:
        """What the instruction of `mark` leaves."""
        return page & 0xFFFF_FFFF

    ADDRESS = VALUE = MARK = PC = 0
    STORE = 4
    """Registers, and where in the stub the store is."""

    def read(self, va: int) -> int | None:
        """The physical address that a load reached."""
        self.uc.reg_write(self.ADDRESS, va)
        return int(self.uc.reg_read(self.VALUE)) if self.run(self.entry) else FAULT

    def write(self, va: int, value: int) -> bool:
        self.uc.reg_write(self.ADDRESS, va)
        self.uc.reg_write(self.VALUE, value)
        return self.run(self.entry + self.STORE)

    def fetch(self, va: int) -> int | None:
        """The number of the page from which an instruction came."""
        return int(self.uc.reg_read(self.MARK)) & 0xFFFF_FFFF if self.run(va) else FAULT


class X86(Guest):
    """Long mode, PAE and two levels. User mode is entered by an IRET."""

    ADDRESS, VALUE, MARK = x86_const.UC_X86_REG_RBX, x86_const.UC_X86_REG_RCX, x86_const.UC_X86_REG_RAX
    PC, SP = x86_const.UC_X86_REG_RIP, x86_const.UC_X86_REG_RSP
    mode = unicorn.UC_MODE_64
    cr4 = 0x20 | 0x80
    efer = 0xD01
    loads = b"\x48\x8b\x0b\x90\x48\x89\x0b\x90"

    def create(self) -> Uc:
        uc = Uc(unicorn.UC_ARCH_X86, self.mode)
        uc.ctl_set_cpu_model(x86_const.UC_CPU_X86_QEMU64)
        return uc

    def stub(self) -> bytes:
        return self.loads + b"\x48\xcf" + b"\x90" * 8

    def mark(self, page: int) -> bytes:
        # mov eax, imm32; jmp to itself, so that nothing behind it is looked at
        return b"\xb8" + struct.pack("<I", page & 0xFFFF_FFFF) + b"\xeb\xfe\x90"

    def start(self) -> None:
        uc = self.uc
        uc.reg_write(x86_const.UC_X86_REG_CR4, self.cr4)
        uc.reg_write(x86_const.UC_X86_REG_MSR, (0xC000_0080, self.efer))
        uc.reg_write(x86_const.UC_X86_REG_CR3, self.machine.roots()[1])
        uc.reg_write(x86_const.UC_X86_REG_CR0, 0x8001_0011)
        if self.user:
            self.leave_kernel()

    def leave_kernel(self) -> None:
        """Segments and a stack in a page of their own, read through the kernel's mapping behind the entry."""
        uc, page, pa = self.uc, self.entry_kernel + 0x1000, self.desk
        flat = [0, 0, 0x00AF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF, 0x00CF_FB00_0000_FFFF, 0x00CF_F300_0000_FFFF]
        flat.append(0x00AF_FB00_0000_FFFF)
        uc.mem_write(pa, struct.pack("<7Q", *flat))
        code, data = (0x33, 0x2B) if self.word == 8 else (0x23, 0x2B)
        frame = [self.entry, code, 0x202, 0, data]
        uc.mem_write(pa + 0x800, struct.pack("<5Q" if self.word == 8 else "<5I", *frame))
        uc.reg_write(x86_const.UC_X86_REG_GDTR, (0, page, 55, 0))
        if self.word == 8:
            uc.reg_write(x86_const.UC_X86_REG_CS, 0x10)
            uc.reg_write(x86_const.UC_X86_REG_SS, 0x18)
        else:
            # A stack of 32 bits comes from a descriptor only.
            uc.reg_write(self.MARK, 0x18)
            uc.emu_start(self.entry_kernel + 8, 0, count=1)
        uc.reg_write(self.SP, page + 0x800)
        uc.emu_start(self.entry_kernel + self.IRET, 0, count=1)
        assert uc.reg_read(x86_const.UC_X86_REG_CS) & 3 == 3, "not in user mode"

    IRET = 8
    entry_kernel = 0
    desk = 0


class X86La57(X86):
    """Five levels."""

    cr4 = 0x20 | 0x80 | 1 << 12

    def create(self) -> Uc:
        uc = Uc(unicorn.UC_ARCH_X86, self.mode)
        uc.ctl_set_cpu_model(x86_const.UC_CPU_X86_ICELAKE_SERVER)
        return uc


class X86Pae(X86):
    ADDRESS, VALUE, MARK = x86_const.UC_X86_REG_EBX, x86_const.UC_X86_REG_ECX, x86_const.UC_X86_REG_EAX
    PC, SP = x86_const.UC_X86_REG_EIP, x86_const.UC_X86_REG_ESP
    mode = unicorn.UC_MODE_32
    word = 4
    IRET = 10
    efer = 0x801
    loads = b"\x8b\x0b\x90\x90\x89\x0b\x90\x90"

    def stub(self) -> bytes:
        return self.loads + b"\x8e\xd0\xcf" + b"\x90" * 8  # mov ss, eax; iret


class X86TwoLevel(X86Pae):
    cr4 = 0x10 | 0x80
    efer = 0


class Arm64(Guest):
    """EL1 with both roots; what EL0 may do is asked with AT S1E0R and S1E0W, and by running there."""

    ADDRESS, VALUE = arm64_const.UC_ARM64_REG_X0, arm64_const.UC_ARM64_REG_X1
    MARK = arm64_const.UC_ARM64_REG_X2
    PC = arm64_const.UC_ARM64_REG_PC
    faults_known = True
    SETUP = 0x10000

    def create(self) -> Uc:
        uc = Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
        uc.ctl_set_cpu_model(arm64_const.UC_CPU_ARM64_MAX)
        return uc

    def stub(self) -> bytes:
        # ldr x1, [x0]; str x1, [x0]; at s1e1r, s1e1w, s1e0r, s1e0w; isb; mrs x1, par_el1
        at = (0xD508_7800, 0xD508_7820, 0xD508_7840, 0xD508_7860)
        # and msr spsr_el1, x3; msr elr_el1, x0; eret
        rest = (0xD503_3FDF, 0xD538_7401, 0xD503_201F, 0xD518_4003, 0xD518_4020, 0xD69F_03E0)
        return struct.pack("<12I", 0xF940_0001, 0xF900_0001, *at, *rest)

    def mark(self, page: int) -> bytes:
        return struct.pack("<I", 0x5280_0002 | (page & 0xFFFF) << 5)  # movz w2, #page

    def marked(self, page: int) -> int:
        return page & 0xFFFF

    def start(self) -> None:
        uc, g = self.uc, self.machine.geometry
        # Without SCR_EL3.RW and HCR_EL2.RW the emulator takes EL1 for AArch32 when it reads PXN and UXN.
        uc.reg_write(arm64_const.UC_ARM64_REG_CP_REG, (1, 1, 3, 6, 0, 0x531))
        uc.reg_write(arm64_const.UC_ARM64_REG_CP_REG, (1, 1, 3, 4, 0, 1 << 31))
        sctlr = uc.reg_read(arm64_const.UC_ARM64_REG_CP_REG, (1, 0, 3, 0, 0))
        tsz, (tg0, tg1) = 64 - g["va_bits"], {12: (0, 2), 14: (2, 1), 16: (1, 3)}[g["page_shift"]]
        tcr = (
            tsz | tsz << 16 | tg0 << 14 | tg1 << 30 | 5 << 32 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 24 | 1 << 26 | 3 << 28
        )
        uc.mem_map(self.SETUP, 0x1000)
        # msr ttbr0_el1, x0; ttbr1_el1, x1; tcr_el1, x2; mair_el1, x3; isb; msr sctlr_el1, x4
        msr = (0xD518_2000, 0xD518_2021, 0xD518_2042, 0xD518_A203, 0xD503_3FDF, 0xD518_1004)
        uc.mem_write(self.SETUP, struct.pack("<6I", *msr))
        values = (self.machine.roots()[1], self.machine.roots()[0], tcr, 0x04_0044_FFFF, sctlr | 0x1005)
        for number, value in enumerate(values):
            uc.reg_write(arm64_const.UC_ARM64_REG_X0 + number, value)
        for number in range(6):
            # The last one turns the MMU on, and what comes after it is not mapped.
            self.run(self.SETUP + 4 * number)
        assert uc.reg_read(arm64_const.UC_ARM64_REG_CP_REG, (1, 0, 3, 0, 0)) & 1, "the MMU is off"

    def ask(self, va: int, write: bool, user: bool) -> tuple[int | None, int, bool]:
        """AT: physical address, or None with the level of the fault (0 to 3) and whether it is one of permission."""
        self.uc.reg_write(self.ADDRESS, va)
        assert self.run(self.entry + 8 + 4 * (write + 2 * user)) and self.run(self.entry + 28)
        par = int(self.uc.reg_read(self.VALUE))
        if par & 1:
            status = par >> 1 & 0x3F
            assert status >> 2 in (1, 3), f"neither a translation fault nor one of permission: {status:#x}"
            return None, status & 3, status >> 2 == 3
        return par & 0xF_FFFF_FFFF_F000 | va & 0xFFF, 0, False

    def fetch(self, va: int) -> int | None:
        return self.el0.fetch(va) if self.user else super().fetch(va)

    @cached_property
    def el0(self) -> Guest:
        return Arm64El0(self.machine, self.ram, self.text, self.entry, False)

    def read(self, va: int) -> int | None:
        return self.ask(va, False, True)[0] if self.user else super().read(va)

    def write(self, va: int, value: int) -> bool:
        return self.ask(va, True, True)[0] == value if self.user else super().write(va, value)


class Arm64El0(Arm64):
    """The same CPU at EL0, for good."""

    def start(self) -> None:
        super().start()
        self.uc.reg_write(arm64_const.UC_ARM64_REG_X3, 0)
        self.uc.reg_write(arm64_const.UC_ARM64_REG_X0, self.entry)
        for offset in (36, 40, 44):
            # After the last one the next instruction may not be fetched: EL0 has no right to it.
            self.run(self.entry + offset)
        assert self.uc.reg_read(arm64_const.UC_ARM64_REG_PSTATE) & 0xF == 0, "not at EL0"


class ArmLpae(Guest):
    """A Cortex-A15 whose TTBR0 translates all addresses, by the root of a process with the kernel's entries in it."""

    ADDRESS, VALUE, MARK = arm_const.UC_ARM_REG_R0, arm_const.UC_ARM_REG_R1, arm_const.UC_ARM_REG_R2
    PC = arm_const.UC_ARM_REG_PC
    word = 4
    SETUP = 0x10000

    def create(self) -> Uc:
        uc = Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_ARM)
        uc.ctl_set_cpu_model(arm_const.UC_CPU_ARM_CORTEX_A15)
        return uc

    def stub(self) -> bytes:
        return struct.pack("<3I", 0xE590_1000, 0xE580_1000, 0xE320_F000)  # ldr r1, [r0]; str r1, [r0]; nop

    def mark(self, page: int) -> bytes:
        return struct.pack("<I", 0xE300_2000 | (page >> 12 & 0xF) << 16 | page & 0xFFF)  # movw r2, #page

    def marked(self, page: int) -> int:
        return page & 0xFFFF

    # mcr ttbcr, r5; mcrr ttbr0, r0, r1; mcr mair0, r2; mair1, r3; mrc sctlr, r4; mcr sctlr, r4
    setup = (0xEE02_5F50, 0xEC41_0F02, 0xEE0A_2F12, 0xEE0A_3F32, 0xEE11_4F10, 0xEE01_4F10)
    r1_r2_r3_r5 = (0, 0xEEAA_4444, 0xFF00_0004, 1 << 31)
    sctlr = 1 << 12 | 1 << 2 | 1

    def start(self) -> None:
        uc = self.uc
        uc.mem_map(self.SETUP, 0x1000)
        uc.mem_write(self.SETUP, struct.pack("<6I", *self.setup))
        values = (self.machine.roots()[1], *self.r1_r2_r3_r5)
        for register, value in zip(("R0", "R1", "R2", "R3", "R5"), values, strict=True):
            uc.reg_write(getattr(arm_const, f"UC_ARM_REG_{register}"), value)
        for number in range(6):
            if number == 5:
                sctlr = uc.reg_read(arm_const.UC_ARM_REG_R4)
                uc.reg_write(arm_const.UC_ARM_REG_R4, sctlr | self.sctlr)
            # The last one turns the MMU on, and what comes after it is not mapped.
            self.run(self.SETUP + 4 * number)
        if self.user:
            uc.reg_write(arm_const.UC_ARM_REG_CPSR, 0x10)
            assert uc.reg_read(arm_const.UC_ARM_REG_CPSR) & 0x1F == 0x10, "not in user mode"


class ArmClassic(ArmLpae):
    """The same CPU with short descriptors, TEX remapping and one domain that checks permissions, as Linux has it."""

    # mcr dacr, r5; mcr ttbr0, r0; mcr prrr, r2; nmrr, r3; mrc sctlr, r4; mcr sctlr, r4
    setup = (0xEE03_5F10, 0xEE02_0F10, 0xEE0A_2F12, 0xEE0A_3F32, 0xEE11_4F10, 0xEE01_4F10)
    r1_r2_r3_r5 = (0, 0xFF0A_81A8, 0x40E0_40E0, 0x5555_5555)
    sctlr = 1 << 28 | 1 << 12 | 1 << 2 | 1


class Riscv(Guest):
    """Supervisor or user mode of a 64-bit CPU."""

    ADDRESS, VALUE, MARK = riscv_const.UC_RISCV_REG_A0, riscv_const.UC_RISCV_REG_A1, riscv_const.UC_RISCV_REG_A2
    PC = riscv_const.UC_RISCV_REG_PC
    mode = unicorn.UC_MODE_RISCV64

    def create(self) -> Uc:
        return Uc(unicorn.UC_ARCH_RISCV, self.mode)

    def stub(self) -> bytes:
        return struct.pack("<3I", 0x0005_3583, 0x00B5_3023, 0x13)  # ld a1, (a0); sd a1, (a0); nop

    def mark(self, page: int) -> bytes:
        return struct.pack("<I", (page & 0xF_FFFF) << 12 | 0x637)  # lui a2, page

    def marked(self, page: int) -> int:
        return (page & 0xF_FFFF) << 12

    def start(self) -> None:
        root, levels = self.machine.roots()[1], len(self.machine.geometry["levels"])
        satp = 1 << 31 | root >> 12 if self.word == 4 else (levels + 5) << 60 | root >> 12
        self.uc.reg_write(riscv_const.UC_RISCV_REG_SATP, satp)
        self.uc.reg_write(riscv_const.UC_RISCV_REG_PRIV, 0 if self.user else 1)


class Riscv32(Riscv):
    mode = unicorn.UC_MODE_RISCV32
    word = 4

    def stub(self) -> bytes:
        return struct.pack("<3I", 0x0005_2583, 0x00B5_2023, 0x13)
