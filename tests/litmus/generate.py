"""Random small litmus tests: a few accesses to two variables and one entry, with barriers and invalidations."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """How one architecture writes things. ``{r}`` is a result register, ``{v}`` a variable's, ``{n}`` a number."""

    head: str
    load: list[str]
    store: list[str]
    atomic: list[str]
    store_entry: list[str]
    between: list[str]
    result: str
    variable: str
    entry: str
    value: str
    one: str
    invalid: str
    faults: list[str]


ARCHITECTURES = {
    "armv8": Words(
        "AArch64",
        ["LDR W{r},[X{v}]", "LDAR W{r},[X{v}]", "LDAPR W{r},[X{v}]"],
        ["STR W{n},[X{v}]", "STLR W{n},[X{v}]"],
        ["SWP W{n},W{r},[X{v}]", "SWPAL W{n},W{r},[X{v}]", "CAS W{r},W{n},[X{v}]", "LDADD W{n},W{r},[X{v}]"],
        ["STR X13,[X12]"],
        ["DMB SY", "DMB ST", "DMB LD", "DSB SY", "DSB LD", "ISB", "DSB ISH", "TLBI VAAE1IS,X14", "TLBI VAAE1,X14", ""],
        "X",
        "X",
        "X12",
        "X13",
        "X",
        "valid:0",
        ["", "Variant=handled\n", "TTHM=HA\n", "TTHM=HA HD\n", "Variant=ets2\n", "Variant=skip\n"],
    ),
    "x86": Words(
        "X86_64",
        ["MOV R{r}D,[R{v}]"],
        ["MOV [R{v}],R{n}D"],
        ["XCHG [R{v}],R{r}D", "LOCK XADD [R{v}],R{r}D"],
        ["MOV [RSI],RDI"],
        ["MFENCE", "INVLPG [R10]", "IPI P1, INVLPG [R10]", "MOV CR3,RAX", "", ""],
        "R",
        "R",
        "RSI",
        "RDI",
        "R",
        "p:0",
        ["", "Variant=handled\n"],
    ),
    "riscv": Words(
        "RISCV",
        ["lw x{r},0(x{v})", "lr.w.aq x{r},(x{v})"],
        ["sw x{n},0(x{v})"],
        ["amoswap.w x{r},x{n},(x{v})", "amoadd.w.aqrl x{r},x{n},(x{v})"],
        ["sd x13,0(x12)"],
        ["fence rw,rw", "fence w,w", "fence r,r", "fence.tso", "sfence.vma x10,x0", "remote.sfence.vma x10,x0", ""],
        "x",
        "x",
        "x12",
        "x13",
        "x",
        "v:0",
        ["", "Variant=handled\n", "Variant=svvptc,handled\n", "TTHM=HA HD\n"],
    ),
}
"""Registers: 10 and 11 hold the variables, 8 the number, 14 and 15 the results (20 and 21 but on x86)."""


def program(architecture: str, seed: int) -> str:
    """One test, always the same for a seed."""
    words = ARCHITECTURES[architecture]
    rng = random.Random(f"{architecture} {seed}")
    results = (14, 15) if architecture == "x86" else (20, 21)
    variables = (10, 11)
    number = 8
    columns = []
    for _ in range(rng.choice((1, 2, 2, 2))):
        lines: list[str] = []
        left = list(results)
        for _ in range(rng.randint(2, 3)):
            kinds = [words.load, words.store, words.store_entry]
            if rng.random() < 0.25:
                kinds.append(words.atomic)
            template = rng.choice(rng.choice(kinds))
            result = left.pop(0) if "{r}" in template and left else results[0]
            lines.append(template.format(r=result, v=rng.choice(variables), n=number))
            between = rng.choice(words.between)
            if between:
                lines.append(between)
        columns.append(lines)
    if architecture == "x86" and len(columns) == 1:
        columns[0] = [line for line in columns[0] if not line.startswith("IPI")]
    init, names = [], []
    prefix = words.result
    for i in range(len(columns)):
        init.append(f"{i}:{prefix}10=x; {i}:{prefix}11=y; {i}:{prefix}{number}={i + 1};")
        init.append(
            f"{i}:{words.entry}=PTE(x); {i}:{words.value}=({rng.choice(['oa:PA(x),' + words.invalid, 'oa:PA(y)'])});"
        )
        init.append(f"{i}:{prefix}{results[0]}=0; {i}:{prefix}{results[1]}=0;")
        if architecture == "armv8":
            init.append(f"{i}:X14=1;")
        names += [f"{i}:{prefix}{r};" for r in results]
    if rng.random() < 0.3:
        init.append(f"[PTE(x)]=({words.invalid});")
    elif rng.random() < 0.2 and architecture != "x86":
        init.append({"armv8": "[PTE(x)]=(af:0);", "riscv": "[PTE(x)]=(d:0);"}[architecture])
    rows = max(len(column) for column in columns)
    table = [" | ".join(f"P{i}" for i in range(len(columns)))]
    table += [" | ".join(column[row] if row < len(column) else "" for column in columns) for row in range(rows)]
    return "\n".join(
        [
            f"{words.head} random{seed}\n{rng.choice(words.faults)}{{",
            *init,
            "}",
            *(f"{row} ;" for row in table),
            f"locations [x; y; PTE(x); {' '.join(names)}]",
            f"exists (x={rng.randint(0, 2)} /\\ 0:{prefix}{results[0]}={rng.randint(0, 2)})",
        ]
    )
