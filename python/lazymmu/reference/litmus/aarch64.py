"""The AArch64 instructions of litmus tests."""

from __future__ import annotations

import re

from lazymmu.reference.litmus import program as p
from lazymmu.reference.litmus.text import number, operands
from lazymmu.reference.visibility import Fence

CONDITIONS = ["EQ", "NE", "CS", "CC", "MI", "PL", "VS", "VC", "HI", "LS", "GE", "LT", "GT", "LE", "AL", "NV"]
OUTSIDE = {"DC", "IC", "STG", "LDG", "STZG", "ADDG", "IRG", "LDP", "STP", "LDXP", "STXP", "STILP"}
OUTSIDE |= {"LDIAPP", "AT", "BR", "BLR"}
ATOMIC = {"ADD": "add", "SET": "or", "CLR": "clear", "EOR": "xor", "SMAX": "smax", "SMIN": "smin", "UMAX": "umax"}
ATOMIC["UMIN"] = "umin"
SIMPLE = {"ADD": "add", "SUB": "sub", "AND": "and", "ORR": "or", "EOR": "xor", "BIC": "clear", "LSL": "lsl"}
SIMPLE |= {"LSR": "lsr", "ASR": "asr", "MUL": "mul"}
LOADS = {"LDAXR": ("strong", True), "LDXR": ("", True), "LDAPUR": ("processor", False), "LDAPR": ("processor", False)}
LOADS |= {"LDAR": ("strong", False), "LDRS": ("", False), "LDR": ("", False), "LDUR": ("", False)}
STORES = {"STLXR": ("strong", True), "STXR": ("", True), "STLUR": ("strong", False), "STLR": ("strong", False)}
STORES |= {"STR": ("", False), "STUR": ("", False)}


def condition(name: str) -> int:
    """The number of a condition."""
    name = {"HS": "CS", "LO": "CC"}.get(name.upper(), name.upper())
    if name not in CONDITIONS:
        raise p.Malformed(f"{name} is no condition")
    return CONDITIONS.index(name)


def immediate(text: str) -> int | None:
    """A number with or without a hash."""
    text = text.removeprefix("#").strip()
    if shift := re.fullmatch(r"\((\S+)\s*<<\s*(\S+)\)", text):
        return int(shift[1], 0) << int(shift[2], 0)
    return number(text)


def general(name: str) -> tuple[str | None, int]:
    """A general register and its width; None for the zero register."""
    match = re.fullmatch(r"([XWR])(ZR|\d+)", name.upper())
    if match is None:
        raise p.Malformed(f"{name} is no general register")
    return (None if match[2] == "ZR" else f"X{int(match[2])}"), 4 if match[1] == "W" else 8


def value(text: str) -> p.Operand:
    """A register or a number."""
    found = immediate(text)
    return found if found is not None else general(text)[0] or 0


def extension(text: str) -> tuple[str, int]:
    """``SXTW``, ``LSL #3``."""
    kind, _, by = text.partition(" ")
    kind = kind.lower()
    return ("lsl" if kind in ("lsl", "uxtx", "sxtx") else kind), immediate(by.strip()) or 0 if by else 0


def address(text: str) -> p.Address:
    """``[X1]``, ``[X1,#8]``, ``[X1,W2,SXTW]``."""
    if not (text.startswith("[") and text.endswith("]")):
        raise p.Unsupported(f"the address {text}")
    parts = operands(text[1:-1])
    base = value(parts[0])
    if len(parts) == 1:
        return p.Address(base)
    offset = immediate(parts[1])
    if offset is not None:
        return p.Address(base, offset=offset if offset < 1 << 63 else offset - (1 << 64))
    return p.Address(base, general(parts[1])[0], extension(parts[2]) if len(parts) > 2 else ("lsl", 0))


def size(suffix: str, width: int) -> int | None:
    """What a size suffix makes of a width."""
    return {"": width, "B": 1, "H": 2}.get(suffix)


def fence(domain: str, synchronises: bool) -> Fence:
    """DMB and DSB."""
    kind = re.sub(r"^(ISH|OSH|NSH)", "", domain.upper().replace(".", "").replace(" ", ""))
    reads, writes = {"": (True, True), "SY": (True, True), "LD": (True, False), "ST": (False, True)}[kind]
    return Fence(
        reads,
        writes,
        reads or synchronises,
        True,
        synchronises=synchronises,
        completes=synchronises and reads and writes,
    )


def tlbi(name: str, argument: p.Operand | None) -> p.Invalidate:
    """TLBI of stage 1."""
    if name.startswith("IPAS2") or "S12" in name:
        raise p.Unsupported("stage 2 translation")
    match = re.fullmatch(r"(VMALL|ALL|ASID|VAAL|VAA|VAL|VA)E([12])(IS|OS)?(NXS)?", name)
    if match is None:
        raise p.Unsupported(f"TLBI {name}")
    kind, broadcast = match[1], match[3] is not None
    return p.Invalidate(
        packed=argument,
        by_asid=kind in ("ASID", "VA", "VAL") and not (match[2] == "2" and kind != "ASID"),
        by_page=kind.startswith("VA"),
        last_level=kind in ("VAL", "VAAL"),
        global_too=kind != "ASID",
        broadcast=broadcast,
    )


def parse(text: str) -> p.Instruction:
    """Reads one instruction."""
    name, _, rest = text.strip().partition(" ")
    name = name.upper()
    arguments = operands(rest)
    if name in OUTSIDE:
        raise p.Unsupported(text)
    if name in ("DMB", "DSB"):
        return p.Barrier(fence(rest.strip(), name == "DSB"))
    if name == "TLBI":
        return tlbi(arguments[0].upper(), value(arguments[1]) if len(arguments) > 1 else None)
    plain: dict[str, p.Instruction] = {"NOP": p.Nop(), "ISB": p.Synchronise(), "ERET": p.Return(exception=True)}
    plain |= {"RET": p.Return(exception=False), "UDF": p.Undefined()}
    if name in plain:
        return plain[name]
    if name in ("SVC", "HVC"):
        return p.Call(name == "HVC", immediate(arguments[0]) or 0 if arguments else 0)
    if name in ("MSR", "MRS"):
        return system(name, arguments)
    if name == "B":
        return p.Branch(("always",), arguments[0])
    if (branch := re.fullmatch(r"B\.?([A-Z]{2})", name)) and branch[1] in [*CONDITIONS, "HS", "LO"]:
        return p.Branch(("flags", condition(branch[1])), arguments[0])
    if name in ("CBZ", "CBNZ"):
        return p.Branch(("eq" if name == "CBZ" else "ne", value(arguments[0]), 0), arguments[1])
    if name in ("TBZ", "TBNZ"):
        test = "bit clear" if name == "TBZ" else "bit set"
        return p.Branch((test, value(arguments[0]), immediate(arguments[1]) or 0), arguments[2])
    if name == "ADR":
        return p.LabelAddress(general(arguments[0])[0] or "XZR", arguments[1])
    found = memory(name, arguments) or arithmetic(name, arguments)
    if found is None:
        raise p.Unsupported(text)
    return found


def system(name: str, arguments: list[str]) -> p.Instruction:
    """MSR and MRS."""
    register, other = (arguments[0], arguments[1]) if name == "MSR" else (arguments[1], arguments[0])
    register = register.upper()
    if register.startswith("VTTBR"):
        raise p.Unsupported("stage 2 translation")
    if name == "MSR" and register.startswith("TTBR0"):
        return p.SetRoot(value(other), register.endswith("2"))
    if register.startswith(("TTBR", "TCR", "SCTLR")):
        raise p.Unsupported(f"the system register {register}")
    if name == "MSR":
        return p.Compute("or", register, 0, value(other))
    return p.Compute("or", general(other)[0], 0, register)


def memory(name: str, arguments: list[str]) -> p.Instruction | None:
    """Loads, stores and atomics."""
    for prefix, (strength, exclusive) in LOADS.items():
        if name.startswith(prefix):
            to, width = general(arguments[0])
            sign = prefix == "LDRS"
            wide = 4 if sign and name == "LDRSW" else size(name.removeprefix(prefix), width)
            if wide is not None:
                if len(arguments) != 2:
                    raise p.Unsupported(f"write-back addressing of {name}")
                return p.Load(to, address(arguments[1]), wide, sign, strength, exclusive)
    for prefix, (strength, exclusive) in STORES.items():
        if name.startswith(prefix):
            first = int(exclusive)
            source, width = general(arguments[first])
            wide = size(name.removeprefix(prefix), width)
            if wide is not None:
                if len(arguments) != 2 + first:
                    raise p.Unsupported(f"write-back addressing of {name}")
                status = general(arguments[0])[0] if exclusive else None
                return p.Store(source or 0, address(arguments[first + 1]), wide, strength, exclusive, status)
    match = re.fullmatch(r"(SWP|CAS|(?:LD|ST)(?:ADD|SET|CLR|EOR|SMAX|SMIN|UMAX|UMIN))(A?)(L?)([BH]?)", name)
    if match is None:
        return None
    acquire, release = bool(match[2]), bool(match[3])
    width = size(match[4], general(arguments[0])[1]) or 8
    operand = value(arguments[0])
    if match[1] == "CAS":
        if not isinstance(operand, str):
            raise p.Unsupported("a compare with the zero register")
        return p.CompareSwap(operand, value(arguments[1]), address(arguments[2]), width, acquire, release)
    returns = not match[1].startswith("ST")
    to = general(arguments[1])[0] if returns else None
    op = "swap" if match[1] == "SWP" else ATOMIC[match[1][2:]]
    return p.Atomic(op, to, operand, address(arguments[-1]), width, acquire, release)


def arithmetic(name: str, arguments: list[str]) -> p.Instruction | None:
    """What touches only registers."""
    if name in ("CSEL", "CSINC", "CSINV", "CSNEG"):
        to, width = general(arguments[0])
        change = {"CSEL": "", "CSINC": "increment", "CSINV": "invert", "CSNEG": "negate"}[name]
        yes, no = value(arguments[1]), value(arguments[2])
        return p.Select(to, condition(arguments[3]), yes, no, change, width) if to is not None else p.Nop()
    if name in ("CSET", "CSETM"):
        to, width = general(arguments[0])
        yes = 1 if name == "CSET" else -1
        return p.Select(to, condition(arguments[1]), yes, 0, "", width) if to is not None else p.Nop()
    if name == "UBFX":
        to, width = general(arguments[0])
        low, count = immediate(arguments[2]) or 0, immediate(arguments[3]) or 0
        return p.Compute("extract", to, value(arguments[1]), low << 8 | count, width=width)
    if name in ("MOV", "MOVZ", "MVN", "NEG", "SXTW", "UXTW"):
        to, width = general(arguments[0])
        op, a = {"NEG": ("sub", 0), "MVN": ("xor", -1)}.get(name, ("or", 0))
        extend = (name.lower(), 0) if name in ("SXTW", "UXTW") else ("lsl", 0)
        if len(arguments) > 2:
            extend = extension(arguments[2])
        return p.Compute(op, to, a, value(arguments[1]), extend, width)
    compare = {"CMP": "SUB", "CMN": "ADD", "TST": "AND"}.get(name)
    flags = compare is not None or name in ("ADDS", "SUBS", "ANDS", "BICS")
    base = compare or (name[:3] if flags else name)
    if base not in SIMPLE:
        return None
    to, width = general(arguments[0])
    rest = arguments if compare else arguments[1:]
    extend = extension(rest[2]) if len(rest) > 2 else ("lsl", 0)
    return p.Compute(SIMPLE[base], None if compare else to, value(rest[0]), value(rest[1]), extend, width, flags)
