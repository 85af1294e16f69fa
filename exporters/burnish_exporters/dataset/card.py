"""The card of a version: what a person should know before training on it.

Knows: the Hugging Face form of a dataset card. Does not know: anything that the manifest does not say.
"""

from __future__ import annotations

from burnish.records import DatasetManifest, Json

_SIZES = (1_000, 10_000, 100_000, 1_000_000)


def card_text(manifest: DatasetManifest) -> str:
    """The card in Markdown, with the metadata block that dataset hubs read."""
    splits = "\n".join(f"| {split} | {count} |" for split, count in sorted(manifest.rows.items()))
    stages = "\n".join(_stage(entry) for entry in manifest.funnel)
    verifiers = "\n".join(_verifier(entry) for entry in manifest.verifiers)
    slices = "\n".join(f"| {name} | {count} |" for name, count in sorted(manifest.slices.items()))
    return f"""{_metadata(manifest)}
# {manifest.id}

Runs of the agent `{manifest.agent}` that were verified, curated and written down by burnish. A row is one conversation
with the exact tools that were offered; each message says whether it carries loss.

## Rows

| split | rows |
|---|---|
{splits}

## How runs became rows

| stage | in | kept | dropped |
|---|---|---|---|
{stages}

## Who said that they succeeded

{verifiers}

## Slices

| slice | rows |
|---|---|
{slices or "| none | 0 |"}

{_coverage(manifest)}## Personal data

{_redaction(manifest)}

## Rights

{_rights(manifest)}

## Reproduce

The SHA-256 over the recipe and the rows is `{manifest.sha256}`; `burnish dataset verify {manifest.id}` checks it.
"""


def _metadata(manifest: DatasetManifest) -> str:
    total = sum(manifest.rows.values())
    upper = next((size for size in _SIZES if total < size), None)
    size = (
        f"n<{_short(upper)}" if upper == _SIZES[0] else f"{_short(_lower(upper))}<n<{_short(upper)}"
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
{_licenses(manifest)}size_categories:
- {size}
configs:
- config_name: default
  data_files:
{files}
---"""


def _licenses(manifest: DatasetManifest) -> str:
    """The licence as hubs read it: one word, or a list."""
    found = manifest.extras.get("licenses") or []
    if len(found) == 1:
        return f"license: {found[0]}\n"
    return "license:\n" + "".join(f"- {name}\n" for name in found) if found else ""


def _coverage(manifest: DatasetManifest) -> str:
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


def _redaction(manifest: DatasetManifest) -> str:
    report = manifest.extras.get("redaction")
    if not report:
        return "Nothing was replaced: the recipe asked for that."
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(report["replaced"].items()))
    return (
        f"Replaced by stand-ins: {kinds or 'nothing was found'}. The finished rows were then read again by the same "
        f"detectors and by others ({report.get('second_look', 'none')}); runs in which those found something were "
        "dropped, as the table above counts."
    )


def _rights(manifest: DatasetManifest) -> str:
    rights = manifest.extras.get("rights") or []
    share = manifest.extras.get("external_share") or 0.0
    parents = ", ".join(f"`{parent}`" for parent in manifest.parents) or "none"
    return (
        f"- licences: {', '.join(manifest.extras.get('licenses') or []) or 'none was named'}\n"
        f"- may be used for: {', '.join(rights) or 'nothing was said'}\n"
        f"- from outside (demonstrations, teachers): {share:.1%} of the training runs\n"
        f"- goes on from: {parents}"
    )


def _short(size: int | None) -> str:
    if size is None:
        return "1T"
    return f"{size // 1_000_000}M" if size >= 1_000_000 else f"{size // 1_000}K"


def _lower(size: int | None) -> int:
    return _SIZES[-1] if size is None else size // 10


def _stage(entry: dict[str, Json]) -> str:
    dropped = ", ".join(f"{count} {reason}" for reason, count in sorted(entry["dropped"].items()))
    return f"| {entry['name']} | {entry['in']} | {entry['kept']} | {dropped or '-'} |"


def _verifier(entry: dict[str, Json]) -> str:
    wrong, said = entry.get("wrong_rows"), "its precision has not been measured"
    if wrong:
        labelled = entry["quality"]["labelled"]
        said = (
            f"measured on {labelled} labelled runs: {wrong['rate']:.1%} of the rows that it let in are expected to be "
            f"wrong (95 % interval {wrong['low']:.1%} to {wrong['high']:.1%})"
        )
    return f"- `{entry['name']}` version `{entry['version']}`; {said}"
