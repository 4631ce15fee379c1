"""How addresses, entries and values are shown."""

from __future__ import annotations

from lazymmu.reference.litmus.program import Fault, Litmus
from lazymmu.reference.visibility.entry import X86, Arm64, RiscV, decode

FIELDS: dict[str, list[tuple[str, int, bool, bool]]] = {
    "armv8": [
        ("valid", Arm64.VALID, True, True),
        ("af", Arm64.AF, True, True),
        ("db", Arm64.READ_ONLY, False, True),
        ("dbm", Arm64.DBM, True, False),
        ("el0", Arm64.USER, True, True),
    ],
    "x86-tso": [
        ("p", X86.P, True, True),
        ("rw", X86.RW, True, True),
        ("a", X86.A, True, True),
        ("d", X86.D, True, True),
        ("g", X86.G, True, False),
    ],
    "rvwmo": [
        ("v", RiscV.V, True, True),
        ("w", RiscV.W, True, True),
        ("a", RiscV.A, True, True),
        ("d", RiscV.D, True, True),
        ("g", RiscV.G, True, False),
    ],
}
"""Per architecture: name, bit, what the field is where the bit is set, what it usually is."""


def address(test: Litmus, value: int) -> str:
    """A virtual address."""
    names = test.names
    if value in names.entries:
        return names.entries[value]
    if value in names.code:
        return names.code[value]
    page = names.pages.get(value >> 12)
    if page is None:
        return f"{value:#x}"
    return page if value & 0xFFF == 0 else f"{page}+{value & 0xFFF}"


def descriptor(test: Litmus, word: int) -> str:
    """An entry by its fields; a field that is as usual is left out."""
    architecture = test.profile.architecture
    if architecture == "rvwmo":
        frame = word >> RiscV.PPN << 12 & 0xFFFF_FFFF_FFFF_FFFF
    else:
        frame = word & (Arm64.ADDRESS if architecture == "armv8" else X86.ADDRESS)
    name = test.names.physical.get(frame)
    parts = [f"oa:PA({name})" if name is not None else f"oa:{frame:#x}"]
    invalid = decode(architecture, 3, word).kind == "invalid"
    for field, bit, when_set, usual in FIELDS[architecture]:
        value = not invalid if field == "valid" else bool(word & bit) == when_set
        if value != usual:
            parts.append(f"{field}:{int(value)}")
    return f"({', '.join(parts)})"


def value(test: Litmus, word: int) -> str:
    """A value of a register or a data cell."""
    names = test.names
    for known in (names.entries, names.code):
        if word in known:
            return known[word]
    if word & 0xFFF == 0 and word >> 12 in names.pages:
        return names.pages[word >> 12]
    if word > 0xFFFF_FFFF:
        known_frame = decode(test.profile.architecture, 3, word).address in names.physical
        return descriptor(test, word) if known_frame else f"{word:#x}"
    return str(word)


def fault(test: Litmus, taken: Fault) -> str:
    """A fault as final states have it."""
    code = test.threads[taken.thread].code
    labels = code[taken.at].labels if taken.at < len(code) else ()
    where = f":{labels[0]}" if labels else ""
    what = "" if taken.address is None else f",{address(test, taken.address)}"
    return f"fault(P{taken.thread}{where}{what},{taken.kind})"
