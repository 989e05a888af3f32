"""Compares two files of results, and names what became worse: `python -m benchmarks compare OLD NEW`.

A percentage is compared by its points: a drift of 0.2 % that was 0.1 % has not doubled, it is still none.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.case import higher_is_better, is_point
from benchmarks.results import Results

#: Percent (or points) by which a figure may be worse.
TOLERANCE = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A figure that both files have."""

    case: str
    figure: str
    old: float
    new: float
    #: How much worse it is; negative: better. Percent of the old value, or points where the figure is one.
    worse_by: float

    @property
    def regressed(self) -> bool:
        """Whether it is worse by more than may be chance."""
        return self.worse_by > TOLERANCE

    @property
    def improved(self) -> bool:
        """Whether it is better by more than may be chance."""
        return self.worse_by < -TOLERANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two files side by side."""

    changes: tuple[Change, ...]
    #: `case: figure` that only the old file has: nothing was measured there any more.
    missing: tuple[str, ...]
    #: What must be known to judge it, one sentence each.
    caveats: tuple[str, ...]

    @property
    def regressions(self) -> list[Change]:
        """What became worse, the worst first."""
        worse = [change for change in self.changes if change.regressed]
        return sorted(worse, key=lambda change: -change.worse_by)


def compare(old: Results, new: Results) -> Comparison:
    """What changed in the cases that both files have."""
    changes, missing, caveats = [], [], []
    if old.machine != new.machine:
        caveats.append("Taken on different machines or versions: only ratios can be compared.")
    for name, before in old.cases.items():
        after = new.cases.get(name)
        if after is None:
            continue
        if before.size != after.size:
            caveats.append(f"{name}: {before.size:,} were measured before, and {after.size:,} now.")
        for figure, value in before.figures.items():
            if is_point(figure):
                continue
            if figure not in after.figures:
                missing.append(f"{name}: {figure}")
                continue
            changes.append(_change(name, figure, value, after.figures[figure]))
    return Comparison(changes=tuple(changes), missing=tuple(missing), caveats=tuple(caveats))


def report(comparison: Comparison) -> str:
    """For a terminal: caveats, what became worse, what became better, and the sum of it."""
    lines = list(comparison.caveats)
    lines += [f"WORSE   {_line(change)}" for change in comparison.regressions]
    lines += [f"better  {_line(change)}" for change in comparison.changes if change.improved]
    lines += [f"gone    {name}" for name in comparison.missing]
    worse, compared = len(comparison.regressions), len(comparison.changes)
    lines.append(f"{worse} of {compared} figures are worse by more than {TOLERANCE:g} %.")
    return "\n".join(lines)


def _change(case: str, figure: str, old: float, new: float) -> Change:
    sign = -1 if higher_is_better(figure) else 1
    if figure.endswith("%"):
        worse_by = sign * (new - old)
    elif old == new:
        worse_by = 0.0
    else:
        worse_by = sign * (new - old) / abs(old) * 100 if old else sign * float("inf")
    return Change(case=case, figure=figure, old=old, new=new, worse_by=worse_by)


def _line(change: Change) -> str:
    unit = "points" if change.figure.endswith("%") else "%"
    amount = f"{abs(change.worse_by):.0f} {unit}"
    return f"{amount:>10}  {change.case}: {change.figure}  {change.old:,.2f} → {change.new:,.2f}"
