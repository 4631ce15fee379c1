"""A comparison that could not fail would be worth nothing: changed recordings are found out."""

from __future__ import annotations

import json
import lzma
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lazymmu.conform import Report, conform
from lazymmu.recording import open_recording

from ..recording.places import SMALL

Change = Callable[[dict[str, Any]], None]


def changed(tmp_path: Path, source: str, file: str, number: int, change: Change) -> Report:
    """The report on a recording in which one record is different."""
    folder = tmp_path / source
    shutil.copytree(SMALL / source, folder)
    path = folder / f"{file}.xz"
    records = [json.loads(line) for line in lzma.decompress(path.read_bytes()).decode().splitlines()]
    (record,) = (r for r in records if r.get("n") == number)
    change(record)
    path.write_bytes(lzma.compress("\n".join(json.dumps(r) for r in records).encode(), preset=0))
    (report,) = conform(open_recording(folder / ("hwseq.jsonl.xz" if file.startswith("hwseq") else path.name)))
    return report


def set_return(record: dict[str, Any]) -> None:
    record["ret"] = -12


def set_word(record: dict[str, Any]) -> None:
    record["chg"][0][5] = hex(int(record["chg"][0][5], 16) ^ 1 << 54)


def drop_change(record: dict[str, Any]) -> None:
    del record["chg"][-1]


def set_mask(record: dict[str, Any]) -> None:
    event = next(e for e in record["ev"] if e[0].startswith("ret:"))
    event[2] = "0x1f"


def drop_call(record: dict[str, Any]) -> None:
    record["ev"] = [e for e in record["ev"] if not e[0].startswith("ret:")]


def set_tables(record: dict[str, Any]) -> None:
    record["alloc"] = {"1": 7}


def set_counter(record: dict[str, Any]) -> None:
    record["steps"][-1][1] = 3


def drop_barrier(record: dict[str, Any]) -> None:
    del record["seq"][-1]


def drop_flush(record: dict[str, Any]) -> None:
    at = max(n for n, e in enumerate(record["ev"]) if e[0] == "xen_mc_flush")
    del record["ev"][at]


def drop_process(record: dict[str, Any]) -> None:
    """One process is passed over, in the middle of a sync."""
    visits = [n for n, e in enumerate(record["ev"]) if e[0] == "vmalloc_sync_one"]
    del record["ev"][visits[5]]


def keep_bits(record: dict[str, Any]) -> None:
    """As if a page had not been made read-only."""
    del record["chg"][-1]


def drop_store(record: dict[str, Any]) -> None:
    del record["seq"][0]


def set_old_of_new_table(record: dict[str, Any]) -> None:
    """Before an entry of a new table there was something."""
    record["chg"][-1][4] = "0x40"


def add_to_new_table(record: dict[str, Any]) -> None:
    """A new table has another entry that is neither empty nor what was mapped."""
    level, table, index, va, old, _ = record["chg"][-1]
    record["chg"].append([level, table, index + 8, hex(int(va, 16) + 0x8000), old, "0x440"])


X32, X64, RISCV = "i386-6.12.117-pae-highpte-pti", "x86_64-6.12.117-4lvl", "riscv64-6.12.117-sv48"
A64, XEN, S390 = "arm64-7.3.4-4k48", "x86_64-7.3.4-xenpv", "s390x-6.12.117-3level"


@pytest.mark.parametrize(
    ("source", "file", "number", "change", "what"),
    [
        (A64, "ops.jsonl", 4, set_return, "return value"),
        (A64, "ops.jsonl", 4, set_word, "descriptor"),
        (A64, "ops.jsonl", 10, drop_change, "descriptor"),
        (A64, "ops.jsonl", 4, set_mask, "calls"),
        (A64, "ops.jsonl", 4, drop_call, "calls"),
        (A64, "ops.jsonl", 4, set_tables, "tables allocated"),
        (A64, "ops.jsonl", 579, set_counter, "counters after step"),
        (A64, "hwseq.jsonl", 20, drop_barrier, "instructions"),
        (X32, "ops.jsonl", 4, drop_process, "calls"),
        (X64, "ops.jsonl", 97, keep_bits, "descriptor"),
        (X64, "ops.jsonl", 97, set_tables, "tables allocated"),
        (X64, "hwseq.jsonl", 96, drop_store, "instructions"),
        (RISCV, "hwseq.jsonl", 97, drop_barrier, "instructions"),
        (S390, "ops.jsonl", 4, set_old_of_new_table, "descriptor"),
        (S390, "ops.jsonl", 4, add_to_new_table, "descriptor"),
        (A64, "ops.jsonl", 4, set_old_of_new_table, "descriptor"),
        (XEN, "ops_balanced.jsonl", 443, drop_flush, "hypervisor steps"),
    ],
)
def test_a_changed_record_is_a_difference(
    tmp_path: Path, source: str, file: str, number: int, change: Change, what: str
) -> None:
    report = changed(tmp_path, source, file, number, change)
    assert not report.ok
    assert any(d.op == number and d.what.startswith(what) for d in report.differences)


def show_zero(record: dict[str, Any]) -> None:
    for run in record["chg"][1:]:
        run[4] = "0x0"
    record["chg"].append([2, record["chg"][1][1], 7, hex(int(record["chg"][1][3], 16) + 0x700000), "0x0", "0x20"])


def test_a_new_table_may_be_shown_from_zero_or_from_its_empty_word(tmp_path: Path) -> None:
    assert changed(tmp_path, S390, "ops.jsonl", 4, show_zero).ok


def cut(record: dict[str, Any]) -> None:
    del record["chg"][-1]
    record["overflow"] = 1


def test_a_record_that_was_cut_is_compared_as_far_as_it_goes(tmp_path: Path) -> None:
    report = changed(tmp_path, A64, "ops.jsonl", 10, cut)
    assert not any(d.op == 10 for d in report.differences)
