"""Write the card of a version: what a reader should know before training on it, in the Hugging Face form.

Everything on the card comes from the manifest; `render_card` is the entry.
"""

from __future__ import annotations

from burnish.records import DatasetManifest, Json

_SIZES = (1_000, 10_000, 100_000, 1_000_000)


def render_card(manifest: DatasetManifest) -> str:
    """Return the card in Markdown, with the metadata block that dataset hubs read."""
    splits = "\n".join(f"| {split} | {count} |" for split, count in sorted(manifest.rows.items()))
    stages = "\n".join(_stage_line(entry) for entry in manifest.funnel)
    verifiers = "\n".join(_verifier_line(entry) for entry in manifest.verifiers)
    slices = "\n".join(f"| {name} | {count} |" for name, count in sorted(manifest.slices.items()))
    return f"""{_metadata_block(manifest)}
# {manifest.id}

Runs of the agent `{manifest.agent}` that burnish verified and curated. A row is one conversation
with the exact tools that were offered; each message has a loss flag.

## Rows

| split | rows |
|---|---|
{splits}

## How runs became rows

| stage | in | kept | dropped |
|---|---|---|---|
{stages}

## Verifiers

{verifiers}

## Slices

| slice | rows |
|---|---|
{slices or "| none | 0 |"}

{_coverage_section(manifest)}## Personal data

{_redaction_section(manifest)}

## Rights

{_rights_section(manifest)}

## Reproduce

The SHA-256 over the recipe and the rows is `{manifest.sha256}`; `burnish dataset verify {manifest.id}` checks it.
"""


def _metadata_block(manifest: DatasetManifest) -> str:
    total = sum(manifest.rows.values())
    upper = next((size for size in _SIZES if total < size), None)
    size = (
        f"n<{_format_size(upper)}"
        if upper == _SIZES[0]
        else f"{_format_size(_lower_bound(upper))}<n<{_format_size(upper)}"
    )
    files = "\n".join(
        f"  - split: {split.replace('-', '_')}\n    path: rows/{split}.parquet"
        for split, count in sorted(manifest.rows.items())
        if count
    )
    return f"""---
pretty_name: {manifest.id}
task_categories:
- text-generation
tags:
- agent
- tool-calling
- burnish
{_license_lines(manifest)}size_categories:
- {size}
configs:
- config_name: default
  data_files:
{files}
---"""


def _license_lines(manifest: DatasetManifest) -> str:
    """Return the licence as hubs read it: one word, or a list."""
    found = manifest.extras.get("licenses") or []
    if len(found) == 1:
        return f"license: {found[0]}\n"
    return "license:\n" + "".join(f"- {name}\n" for name in found) if found else ""


def _coverage_section(manifest: DatasetManifest) -> str:
    table = manifest.extras.get("coverage")
    if not table:
        return ""
    lines = "\n".join(
        f"| {kind} | {counts['runs']} | {counts['successes']} | {counts['rows']} |"
        for kind, counts in sorted(table.items())
    )
    warnings = "".join(f"\n- {text}" for text in manifest.extras.get("warnings") or ())
    head = "| kind of task | runs | verified successes | rows |\n|---|---|---|---|"
    return f"## Coverage\n\n{head}\n{lines}\n{warnings}\n\n"


def _redaction_section(manifest: DatasetManifest) -> str:
    report = manifest.extras.get("redaction")
    if not report:
        return "Nothing was replaced: the recipe turns redaction off."
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(report["replaced"].items()))
    return (
        f"Replaced by pseudonyms: {kinds or 'nothing was found'}. The same detectors then scanned the finished rows "
        f"again, and so did others ({report.get('second_look', 'none')}); runs in which the latter found something were "
        "dropped, as the table above counts."
    )


def _rights_section(manifest: DatasetManifest) -> str:
    rights = manifest.extras.get("rights") or []
    share = manifest.extras.get("external_share") or 0.0
    parents = ", ".join(f"`{parent}`" for parent in manifest.parents) or "none"
    models = manifest.extras.get("models") or {}
    shown = ", ".join(f"{name} ({count} rows)" for name, count in models.items())
    return (
        f"- licences: {', '.join(manifest.extras.get('licenses') or []) or 'none named'}\n"
        f"- may be used for: {', '.join(rights) or 'not stated'}\n"
        f"- external (demonstrations, teachers): {share:.1%} of the training runs\n"
        f"- replies were written by: {shown or 'not recorded'}\n"
        f"- parents: {parents}"
    )


def _format_size(size: int | None) -> str:
    if size is None:
        return "1T"
    return f"{size // 1_000_000}M" if size >= 1_000_000 else f"{size // 1_000}K"


def _lower_bound(size: int | None) -> int:
    return _SIZES[-1] if size is None else size // 10


def _stage_line(entry: dict[str, Json]) -> str:
    dropped = ", ".join(f"{count} {reason}" for reason, count in sorted(entry["dropped"].items()))
    return f"| {entry['name']} | {entry['in']} | {entry['kept']} | {dropped or '-'} |"


def _verifier_line(entry: dict[str, Json]) -> str:
    wrong, said = entry.get("wrong_rows"), "its precision has not been measured"
    if wrong:
        labelled = entry["quality"]["labelled"]
        said = (
            f"measured on {labelled} labelled runs: {wrong['rate']:.1%} of the rows that it admitted are expected to be "
            f"wrong (95 % interval {wrong['low']:.1%} to {wrong['high']:.1%})"
        )
    return f"- `{entry['name']}` version `{entry['version']}`; {said}"
