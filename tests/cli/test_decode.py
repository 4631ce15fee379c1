"""``lazymmu decode`` and ``lazymmu encode``, with good and bad input."""

from __future__ import annotations

import json

import jsonschema
import pytest

from lazymmu.report import schemas
from tests.cli.test_json import lazymmu

PLACE = ["--geometry", "arm64-4k-48", "--level", "pte"]


def test_a_page_of_the_kernel() -> None:
    done = lazymmu("decode", "0x00e8000000000703", *PLACE)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "0x00e8000000000703  arm64-4k-48 pte: page (leaf), valid"
    assert any(line.startswith("54 ") and "UXN" in line for line in lines)
    assert sum(line.startswith("+--") for line in lines) == 4


def test_json_follows_its_schema() -> None:
    for args in (["0xe8000000000703", *PLACE], ["0x60", "--geometry", "x86-32-pae", "--level", "pud", "--lenient"]):
        done = lazymmu("decode", *args, "--json")
        assert done.returncode == 0, done.stderr
        jsonschema.validate(json.loads(done.stdout), schemas.schema("decode"))


def test_there_and_back() -> None:
    entry = json.loads(
        lazymmu("decode", "0x80000001234001e3", "--geometry", "x86-64-4level", "--level", "pmd", "--json").stdout
    )
    fields = [f"{field['name']}={field['value']:#x}" for field in entry["fields"]]
    done = lazymmu("encode", *fields, "--geometry", "x86-64-4level", "--level", "pmd")
    assert (done.returncode, done.stdout) == (0, "0x80000001234001e3\n")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["decode", "0x701", *PLACE], ["type", "0x1", "limit"]),
        (["decode", "0x1" + "0" * 16, *PLACE], ["word", "64 bits"]),
        (["decode", "0x100000000", "--geometry", "x86-32-2level"], ["word", "0x100000000", "32 bits"]),
        (["decode", "word", *PLACE], ["word", "a number"]),
        (
            ["decode", "0x8000040000456163", "--geometry", "x86-64-4level", "--pa-bits", "40"],
            ["address", "0x40000456000", "40 bits"],
        ),
        (["decode", "0", "--geometry", "x86-64-4level", "--pa-bits", "60"], ["pa_bits = 60", "52"]),
        (["decode", "0", "--geometry", "x86-64-4level", "--pa-bits", "-1"], ["pa_bits = -1"]),
        (["decode", "0", "--geometry", "x86-64-4level", "--level", "pgd"], ["levels = 5", "limit: 4"]),
        (["decode", "0", "--geometry", "x86-64-4level", "--level", "pmt"], ["level = pmt", "pmd"]),
        (["decode", "0", "--geometry", "arm64-4k-60"], ["va_bits = 60", "52"]),
        (["decode", "0", "--geometry", "x86-64-6level"], ["levels = 6", "limit: 5"]),
        (["decode", "0", "--geometry", "s390-6level"], ["levels = 6", "limit: 5"]),
        (["decode", "0", "--geometry", "riscv-sv64"], ["va_bits = 64", "limit: 57"]),
        (["decode", "0", "--geometry", "arm64-8k-48"], ["page size = 8 KiB", "4, 16, 64"]),
        (["decode", "0", "--geometry", "sparc64-4k"], ["page size = 4 KiB", "limit: 8 KiB"]),
        (["decode", "0", "--geometry", "powerpc-radix-16k"], ["page size = 16 KiB", "4, 64"]),
        (["decode", "0", "--geometry", "vax"], ["vax", "arm64-4k-48"]),
        (["decode", "0x93d", "--geometry", "s390-3level"], ["zero = 0x1", "limit: 0"]),
        (
            ["decode", "0x8002004", "--geometry", "s390-3level", "--level", "pmd"],
            ["s390-3level pmd: TT = 0x1", "limit"],
        ),
        (["decode", "0x40000000013d", "--geometry", "s390-3level"], ["address = 0x400000000000", "46 bits"]),
        (["decode", "0x8000000000001000", "--geometry", "powerpc-radix-4k"], ["L = 0x0", "limit"]),
        (["decode", "0xc10000000000118e", "--geometry", "powerpc-radix-4k"], ["address", "53 bits"]),
        (["decode", "0x200000008002000", "--geometry", "sparc64-8k", "--level", "p4d"], ["high = 0x2", "limit: 0"]),
        (["encode", "TT=2", "--kind", "table", "--geometry", "s390-3level", "--level", "pud"], ["TT = 0x2", "limit"]),
        (["encode", "F_GIX=8", "--kind", "page", "--geometry", "powerpc-hash-4k"], ["F_GIX = 0x8", "0x7"]),
        (
            ["encode", "address=0x1000", "--kind", "page", "--geometry", "sparc64-8k"],
            ["address", "a multiple of 0x2000"],
        ),
        (["decode", "0", "--geometry", "x86-64-4level", "--backend", "arm64"], ["arm64", "x86-64-4level"]),
        (["decode", "0", "--geometry", "x86-64-4level", "--backend", "vax"], ["vax", "x86-64"]),
        (["encode", "address=0x123", *PLACE], ["address = 0x123", "a multiple of 0x1000"]),
        (["encode", "address=0x1000000000000", *PLACE], ["address", "48 bits"]),
        (["encode", "AF=2", "address=0", *PLACE], ["AF = 0x2", "0x1"]),
        (["encode", "AF=-1", *PLACE], ["AF", "64 bits"]),
        (["encode", "type=1", "AF=1", *PLACE], ["type = 0x1", "reserved"]),
        (["encode", "gold=1", *PLACE], ["gold", "AttrIndx"]),
        (["encode", "AF", *PLACE], ["AF", "FIELD=VALUE"]),
        (["encode", "AF=1", "--kind", "door", *PLACE], ["door", "page"]),
    ],
)
def test_bad_input(args: list[str], said: list[str]) -> None:
    done = lazymmu(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1, done.stderr
    assert all(part in done.stderr for part in said), done.stderr
