"""Every format keeps the contract, and reaches `datasets` unchanged, in memory and as a stream."""

import msgspec
import pytest

from burnish.errors import ExportError
from burnish.records import Usage
from burnish.testing import FORMAT_CHECKS, FormatCase
from burnish_exporters import build_dataset
from burnish_exporters.formats import FORMATS, find_format

NAMES = sorted(FORMATS)


def contrasted(make_run, **changes):
    """Three tasks with a success and a failure each; every call with its ids and log-probabilities."""
    runs = []
    for task in range(3):
        for side, success in enumerate((True, False)):
            run = make_run(10 * task + side, calls=3, success=success, task_id=f"t{task}",
                           request=f"Where is {task}?", failed=[0] if task == 2 else ())  # fmt: skip
            calls = [
                msgspec.structs.replace(
                    call, **{"prompt_token_ids": [1, 2, step], "token_ids": [3, 4], "logprobs": [-0.1, -0.2]} | changes
                )
                for step, call in enumerate(run.model_calls)
            ]  # fmt: skip
            runs.append(msgspec.structs.replace(run, model_calls=calls))
    return build_dataset(runs, agent="support", verify=["outcome"], recipe={"contrast": True})


@pytest.fixture(scope="module")
def known():
    """Rows by format, made once: successes, with failures beside them."""
    return {}


@pytest.fixture
def case(known, make_run):
    if not known:
        version = contrasted(make_run)
        known["rows"] = [*version.rows(), *version.rows("train-contrast")]
        known["good"] = list(version.rows())

    def of(name):
        form = find_format(name)
        rows = known["rows" if getattr(form, "contrast", False) else "good"]
        return FormatCase(format=form, rows=rows)

    return of


@pytest.mark.parametrize("check", FORMAT_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_every_format_keeps_the_contract(case, name, check):
    check(case(name))


class Careless:
    """A format with every fault that the kit looks for."""

    name = "careless"
    columns = ("messages", "messages")

    def __init__(self):
        self.uses = 0

    def render(self, rows):
        self.uses += 1
        for row in rows:
            row["messages"].pop()
            yield {"text": object(), "uses": self.uses}
        yield {}

    def check(self, row):
        row["text"].lower()


@pytest.mark.parametrize("check", FORMAT_CHECKS, ids=lambda check: check.__name__)
def test_the_contract_finds_what_a_careless_format_does_wrong(case, check):
    rows = case("trl-sft").rows
    with pytest.raises((AssertionError, AttributeError, TypeError, KeyError)):
        check(FormatCase(format=Careless(), rows=rows))


@pytest.mark.parametrize("name", NAMES)
def test_memory_stream_and_file_hold_the_same_rows(make_run, tmp_path, name):
    version = contrasted(make_run)
    form = find_format(name)
    rendered = [
        {column: row.get(column) for column in form.columns} for row in version.export(name)
    ]

    data, stream = version.to(name), version.stream(name)
    lines = version.write(name, tmp_path / "rows.jsonl").read_bytes().splitlines()

    assert len(rendered) > 0
    assert list(data) == rendered
    assert list(stream) == rendered
    assert list(stream) == rendered  # again at each iteration
    assert list(stream.features) == list(data.features) == data.column_names == form.columns
    written = [msgspec.json.decode(line) for line in lines]
    assert [{column: row.get(column) for column in form.columns} for row in written] == rendered


def test_a_stream_makes_rows_while_they_are_read(make_run):
    """Reading the first row of a stream looks at one row of the version."""
    version = build_dataset([make_run(n) for n in range(5)], agent="support", verify=["outcome"])
    export = version.export("trl-sft")

    next(iter(export.stream()))

    assert export.report().read == 1


def test_rows_that_are_too_long_are_refused_whole_and_counted(make_run, caplog):
    """Runs of 2 to 5 calls: the last call of each is 10 tokens longer than the one before."""
    runs = [make_run(n, calls=n) for n in range(2, 6)]
    counted = [
        msgspec.structs.replace(
            run,
            model_calls=[
                msgspec.structs.replace(
                    call, usage=Usage(input_tokens=10 * number, output_tokens=5)
                )
                for number, call in enumerate(run.model_calls, 1)
            ],
        )
        for run in runs
    ]
    version = build_dataset(counted, agent="support", verify=["outcome"])
    export = version.export("trl-sft", max_tokens=35)

    rows = list(export)

    report = export.report()
    assert (report.read, report.written, report.unmeasured) == (4, 2, 0)
    assert report.refused == {"too long: over 35 tokens": 2}
    assert "too long" in caplog.text
    whole = {len(row["messages"]) for row in version.to("trl-sft")}
    assert {
        len(row["messages"]) for row in rows
    } < whole  # none is cut: each is one of the whole ones
    assert len(version.to("trl-sft", max_tokens=35)) == 2
    assert len(list(version.stream("trl-sft", max_tokens=14))) == 0


def test_rows_without_counts_are_written_and_told(make_run):
    version = build_dataset([make_run(1)], agent="support", verify=["outcome"])
    export = version.export("openai", max_tokens=1)

    assert len(list(export)) == 1
    assert export.report().unmeasured == 1


def test_captured_ids_count_where_the_server_gave_no_usage(make_run):
    export = contrasted(make_run).export("trl-sft", max_tokens=4)

    assert list(export) == []
    assert export.report().refused == {"too long: over 4 tokens": 3}


def test_a_format_of_another_package_is_found_and_its_unknown_columns_are_json(
    make_run, monkeypatch
):
    from burnish_exporters.formats import registry

    class Mine:
        name = "mine"
        columns = ("whatever",)

        def render(self, rows):
            for row in rows:
                yield {"whatever": {row["task_id"]: [1, "two", None]}}

        def check(self, row):
            if "whatever" not in row:
                raise ExportError("no whatever")

    class Entry:
        def load(self):
            return Mine

    monkeypatch.setattr(registry, "entry_points", lambda group, name: [Entry()])
    version = build_dataset([make_run(1), make_run(2)], agent="support", verify=["outcome"])

    found = [row["whatever"] for row in version.to("mine")]

    assert sorted(found, key=str) == [{"task-1": [1, "two", None]}, {"task-2": [1, "two", None]}]
