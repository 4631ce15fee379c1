"""Which translations an access may use: a set derived from the log.

An entry that may be cached can be used however old it is, unless an invalidation that reaches this CPU removed it; one
that may not be cached is read from memory as it is at the time of the walk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lazymmu.reference.visibility.cpu import Ordering, Profile
from lazymmu.reference.visibility.entry import Entry, decode, set_accessed, set_dirty
from lazymmu.reference.visibility.log import NEVER, Invalidation, Log, Version, View, at, join


@dataclass(frozen=True)
class Regime:
    """What the CPU's registers say about translation."""

    root: int
    level: int
    asid: int
    view: View
    hardware_access: bool
    hardware_dirty: bool
    user: bool


@dataclass(frozen=True)
class Request:
    """One access: when its address is known, and what it waits for itself.

    ``dirties`` is off where a failing compare leaves the dirty state alone.
    """

    address: int
    view: View
    ordered: View
    write: bool
    dirties: bool


@dataclass(frozen=True)
class Update:
    """A flag the walker sets, directly after the version it replaces."""

    cell: int
    value: int
    replaces: int


@dataclass(frozen=True)
class Walk:
    """One way to translate: to a physical address, or to a fault. The access has to be over before ``limit``."""

    cells: tuple[int, ...]
    address: int | None
    fault: str | None
    view: View
    limit: int
    update: Update | None = None
    stale_invalid: tuple[int, int] | None = None
    global_: bool = False


def _reaches(made: Invalidation, cpu: int, page: int, level: int, regime: Regime, entry: Entry) -> bool:
    scope = made.scope
    if made.reaches is not None and made.reaches != cpu:
        return False
    table = entry.kind == "table"
    shift = 9 * (3 - level)
    if scope.page is not None and scope.page >> shift != page >> shift and not (table and scope.all_tables):
        return False
    if table and scope.last_level:
        return False
    shared = entry.kind == "leaf" and entry.global_
    if scope.asid is None:
        return scope.global_too or not shared
    if shared:
        return scope.global_too or (scope.page is not None and scope.asid == regime.asid)
    return scope.asid == regime.asid


@dataclass(frozen=True)
class _Path:
    """Where a walk has come to."""

    table: int
    level: int
    cells: tuple[int, ...]
    view: View
    limit: int
    writable: bool
    user: bool


@dataclass(frozen=True)
class _Walker:
    log: Log
    profile: Profile
    cpu: Ordering
    regime: Regime
    request: Request

    @property
    def page(self) -> int:
        return (self.request.address & 0x0000_FFFF_FFFF_FFFF) >> 12

    def usable(self, until: int, level: int, entry: Entry, walk: View) -> int | None:
        """The end others' invalidations set to the use of a version replaced at ``until``; None where it is gone."""
        if until == NEVER:
            return NEVER
        at_once = self.profile.ets > 0 or self.profile.architecture == "rvwmo"
        for own in self.cpu.own:
            made = own.invalidation
            if made.since < until or not _reaches(made, self.cpu.id, self.page, level, self.regime, entry):
                continue
            done = own.completed is not None
            if own.felt or (done and at_once) or (own.completed is not None and walk[0] > own.completed):
                return None
        limit = NEVER
        for time, effect in self.log.completions():
            for made in effect.invalidations:
                reached = _reaches(made, self.cpu.id, self.page, level, self.regime, entry)
                if effect.cpu != self.cpu.id and made.since >= until and reached:
                    limit = min(limit, time)
        return limit if walk[0] < limit else None

    def before(self, uncached: bool, fault: bool, path: View, version: Version) -> View:
        return join(self.cpu.before_walk(self.profile, self.request, uncached, fault), path, at(version.since))

    def uncached(self, kind: str, version: Version, entry: Entry, path: _Path) -> Iterator[Walk]:
        """A version that no TLB holds, and that faults."""
        view = self.before(True, True, path.view, version)
        cell = path.cells[-1]
        if self.profile.architecture == "x86-tso" and version.until <= self.cpu.coherence.get(cell, 0):
            return
        invalid_may_stay = self.profile.architecture == "rvwmo"
        if view[0] >= version.until and not invalid_may_stay:
            return
        limit = self.usable(version.until, path.level, entry, view)
        if limit is not None:
            stale = (cell, version.since) if invalid_may_stay and version.until != NEVER else None
            yield Walk(path.cells, None, kind, view, min(path.limit, limit), stale_invalid=stale)

    def leaf(self, version: Version, entry: Entry, path: _Path) -> Iterator[Walk]:
        regime, request = self.regime, self.request
        managed = regime.hardware_access or regime.hardware_dirty
        if not entry.accessed and not managed:
            yield from self.uncached("MMU:AccessFlag", version, entry, path)
            return
        writable = path.writable and (entry.writable or (regime.hardware_dirty and entry.clean))
        denied = (request.write and not writable) or (regime.user and not (path.user and entry.user))
        view = self.before(False, denied, path.view, version)
        limit = self.usable(version.until, path.level, entry, view)
        if limit is None:
            return
        limit = min(path.limit, limit)
        if denied:
            yield Walk(path.cells, None, "MMU:Permission", view, limit)
            return
        value = None
        dirty = regime.hardware_dirty and request.write and request.dirties
        if dirty and not (entry.accessed and entry.writable):
            value = set_dirty(self.profile.architecture, version.value)
        elif managed and not entry.accessed:
            value = set_accessed(self.profile.architecture, version.value)
        update = None if value is None else Update(path.cells[-1], value, version.since)
        address = entry.address | request.address & ((1 << (12 + 9 * (3 - path.level))) - 1)
        yield Walk(path.cells, address, None, view, limit, update, global_=entry.global_)

    def descend(self, path: _Path) -> Iterator[Walk]:
        cell = path.table + 8 * (self.page >> (9 * (3 - path.level)) & 0x1FF)
        here = replace(path, cells=(*path.cells, cell))
        for version in self.log.versions(cell):
            entry = decode(self.profile.architecture, path.level, version.value)
            if entry.kind == "invalid":
                yield from self.uncached("MMU:Translation", version, entry, here)
            elif entry.kind == "leaf":
                yield from self.leaf(version, entry, here)
            else:
                view = join(path.view, at(version.since))
                limit = self.usable(version.until, path.level, entry, self.before(False, False, view, version))
                if limit is None:
                    continue
                x86 = self.profile.architecture == "x86-tso"
                yield from self.descend(
                    _Path(
                        entry.address,
                        path.level + 1,
                        here.cells,
                        view,
                        min(path.limit, limit),
                        path.writable and (entry.writable or not x86),
                        path.user and (entry.user or not x86),
                    )
                )


def walks(log: Log, profile: Profile, cpu: Ordering, regime: Regime, request: Request) -> Iterator[Walk]:
    """Every way the CPU may translate this access."""
    start = _Path(regime.root, regime.level, (), regime.view, NEVER, True, True)
    yield from _Walker(log, profile, cpu, regime, request).descend(start)
