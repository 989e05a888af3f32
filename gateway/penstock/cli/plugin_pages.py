"""What `penstock plugin` shows of plugins: published ones, and what a check found out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from penstock.cli.console import BAD, GOOD, NAME, QUIET, WARN, out, safe
from penstock.cli.delivery_lines import delivery_lines
from penstock.cli.words import counted, size

if TYPE_CHECKING:
    from penstock.cli.trial import Trial
    from penstock_plugins.record import PluginRecord
    from penstock_workers.inspection import Inspection


def record_shape(record: PluginRecord) -> dict[str, Any]:
    """A published plugin, for scripts."""
    return {
        "name": record.name,
        "version": record.version,
        "digest": record.digest,
        "description": record.manifest.description,
        "tools": [tool.to_dict() for tool in record.tools],
        "imports": list(record.imports),
        "files": [{"path": f.path, "size_bytes": f.size_bytes, "sha256": f.sha256} for f in record.files],
    }


def inspection_shape(inspection: Inspection, trials: dict[str, Trial]) -> dict[str, Any]:
    """What a check found out, for scripts."""
    return {
        **record_shape(inspection.record()),
        "ok": inspection.ok,
        "capabilities": inspection.capabilities,
        "imports": inspection.imports,
        "batch_entry_point": inspection.batch_entry_point,
        "problems": [{"message": p.message, "advice": p.advice} for p in inspection.problems],
        "warnings": inspection.warnings,
        "dry_calls": {name: trial.to_dict() for name, trial in trials.items()},
    }


def show_inspection(inspection: Inspection, trials: dict[str, Trial]) -> None:
    """What a check found out, for people."""
    manifest = inspection.bundle.manifest
    artifacts = sum(len(inspection.bundle.files[name]) for name in manifest.artifacts)
    imports = [f"{name} ({', '.join(functions)})" for name, functions in inspection.imports.items()]
    out().print(
        Text.assemble((manifest.name, NAME), f" {manifest.version}  ", (inspection.bundle.digest[:12], QUIET))
    )
    for what, value in (
        ("artifact", f"{', '.join(manifest.artifacts)}, {size(artifacts)}, {manifest.kind}"),
        ("imports", safe("; ".join(imports)) or "nothing"),
        ("asks for", ", ".join(inspection.capabilities) or "no capabilities"),
        ("tools", counted(len(inspection.tools), "tool")),
        ("batches", _batches(inspection)),
    ):
        out().print(Text.assemble((f"  {what:<10}", QUIET), value))
    for tool in inspection.tools:
        line = Text.assemble(
            (f"    {tool.name:<14}", NAME), safe(f"{', '.join(tool.parameters.get('properties', ()))}  ")
        )
        if (trial := trials.get(tool.name)) is not None:
            line.append(f"→ {trial.text}", BAD if trial.problem else QUIET)
        out().print(line)
        for what, said in delivery_lines(tool):
            out().print(Text.assemble((f"      {what:<8}", QUIET), safe(said)))
    for warning in inspection.warnings:
        out().print(Text(safe(f"  ! {warning}"), WARN))
    for problem in inspection.problems:
        out().print(Text.assemble(("  ✘ ", BAD), safe(problem.message), (safe(f"  {problem.advice}"), QUIET)))
    if inspection.ok:
        out().print(Text("  ✔ It can be published.", GOOD))


def _batches(inspection: Inspection) -> str:
    """Which tools' calls may share an instance."""
    asking = [table.name for table in inspection.bundle.manifest.tools if table.batch_entry_point]
    if not (asking and inspection.batch_entry_point):
        return "an instance for each call"
    return f"calls of {', '.join(asking)} may share an instance (call-tool-batch)"


def show_unusable(folder: Path, problems: Sequence[str]) -> None:
    """Nothing to inspect: what is wrong with the folder itself."""
    out().print(Text(str(folder), NAME))
    for text in problems:
        out().print(Text.assemble(("  ✘ ", BAD), safe(text)))
