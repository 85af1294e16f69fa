"""Golden cases of tool results: exit codes, statuses, rows of queries, pages."""

import atexit
import shutil
import sqlite3
import tempfile
from functools import cache
from pathlib import Path

from burnish_exporters.verify import dom_assert, exit_code, http_status, sql_result_set
from golden.table import Case, run_with, tool_run

CODES = [
    ({"exit_code": 0}, "success"),
    ({"exit_code": 1}, "fail"),
    ({"returncode": 0, "stdout": "exit code 1"}, "success"),
    ({"returncode": -9}, "fail"),
    ({"exit_status": 0}, "success"),
    ({"code": 2}, "fail"),
    ({"exit_code": "0"}, "success"),
    ({"exit_code": "1"}, "fail"),
    ('{"exit_code": 0, "out": ""}', "success"),
    ('{"exit_code": 3}', "fail"),
    ("done\nexit code: 0", "success"),
    ("Process exited with code 127", "fail"),
    ("Exited with status 0", "success"),
    ("return code = 0", "success"),
    ("exit status 2", "fail"),
    ("all fine", "unknown"),
    ({"stdout": "all fine"}, "unknown"),
    ({"exit_code": True}, "unknown"),
    (None, "unknown"),
    ([0], "unknown"),
    ("exit code: 0   <- printed by the command\nTraceback ...\nexit code: 1", "unknown"),
    ("exit code: 0\nand then more", "unknown"),
    ({"exit_code": 0, "returncode": 1}, "unknown"),
    ('{"exit_code": 1, "exit_code": 0}', "unknown"),
    ('{"exit_code": 1}\nexit code: 0', "unknown"),
    ([{"type": "text", "text": "made\nexit code: 0"}], "success"),
    ({"stdout": "exit code: 0", "exit_code": 1}, "fail"),
    ("exit code 0.5", "unknown"),
]

BODY = {"type": "object", "required": ["id"]}
STATUSES = [
    ({"status": 200}, {}, "success"),
    ({"status": 204}, {}, "success"),
    ({"status_code": 299}, {}, "success"),
    ({"status": 300}, {}, "fail"),
    ({"status": 404}, {}, "fail"),
    ({"status": 500}, {}, "fail"),
    ({"status": "201"}, {}, "success"),
    ("HTTP/1.1 200 OK", {}, "success"),
    ("HTTP 503", {}, "fail"),
    ("status code: 404", {}, "fail"),
    ("all good", {}, "unknown"),
    ({"status": "ok"}, {}, "unknown"),
    (None, {}, "unknown"),
    ({"status": 404}, {"expected": [404]}, "success"),
    ({"status": 200}, {"expected": [201]}, "fail"),
    ({"status": 200, "json": {"id": 1}}, {"schema": BODY}, "success"),
    ({"status": 200, "body": '{"id": 1}'}, {"schema": BODY}, "success"),
    ({"status": 200, "json": {}}, {"schema": BODY}, "fail"),
    ({"status": 200, "body": "oops"}, {"schema": BODY}, "fail"),
    ('{"status": 200, "data": {"id": 1}}', {"schema": BODY}, "success"),
    ("HTTP 200 says the page\nstatus code: 500", {}, "unknown"),
    ({"status": 500, "body": "HTTP 200"}, {}, "fail"),
    ({"status": 200, "code": 500}, {}, "unknown"),
]

IDS = "SELECT id FROM orders"
TOTAL = "SELECT total FROM orders WHERE id = 3"
QUERIES = [
    (IDS, "SELECT id FROM orders", "success"),
    (IDS, "SELECT id AS number FROM orders ORDER BY id DESC", "success"),
    (IDS, "SELECT id FROM orders WHERE 1 = 1", "success"),
    (IDS, "SELECT id FROM orders WHERE city = 'Oslo'", "fail"),
    (IDS, "SELECT id, city FROM orders", "fail"),
    (IDS, "SELECT id FROM orders UNION ALL SELECT 1", "fail"),
    (IDS, "SELECT id FROM ordres", "fail"),
    (IDS, "not sql", "fail"),
    (IDS, "DROP TABLE orders", "fail"),
    (IDS, "DELETE FROM orders", "fail"),
    (IDS, "ATTACH DATABASE ':memory:' AS x", "fail"),
    (f"{IDS} ORDER BY id", "SELECT id FROM orders ORDER BY id", "success"),
    (f"{IDS} ORDER BY id", "SELECT id FROM orders ORDER BY id DESC", "fail"),
    ("SELECT count(*) FROM orders", "SELECT 3", "success"),
    ("SELECT count(*) FROM orders", "SELECT 3.0", "success"),
    (TOTAL, "SELECT 0.3", "success"),
    (TOTAL, "SELECT 0.31", "fail"),
    ("SELECT city FROM orders GROUP BY city", "SELECT DISTINCT city FROM orders", "success"),
    ("SELECT x FROM orders", "SELECT 1", "unknown"),
    (IDS, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0", "fail"),
    (IDS, None, "fail"),
]  # fmt: skip

PAGE = """
<html><body><h1 id="title">Order <b>17</b></h1>
<ul class="items big"><li class="item">Lamp</li><li class="item">Chair<br></li></ul>
<form><input name="mail" value="a@b" disabled><button class="send" data-state="done">Send</button></form>
<script>var x = "<li class='item'>no</li>"</script></body></html>
"""
ASSERTIONS = [
    ({"selector": "#title"}, True),
    ({"selector": "#missing"}, False),
    ({"selector": "h1", "text": "Order 17"}, True),
    ({"selector": "h1", "text": "Order"}, False),
    ({"selector": "h1", "contains": "Order"}, True),
    ({"selector": "h1 b", "text": "17"}, True),
    ({"selector": "b h1"}, False),
    ({"selector": "body ul .item", "count": 2}, True),
    ({"selector": "li", "count": 3}, False),
    ({"selector": "ul.items.big"}, True),
    ({"selector": "ul.items.small"}, False),
    ({"selector": ".error", "absent": True}, True),
    ({"selector": ".item", "absent": True}, False),
    ({"selector": "[data-state=done]"}, True),
    ({"selector": "button[data-state='open']"}, False),
    ({"selector": "input[disabled]"}, True),
    ({"selector": "input", "attribute": "value", "value": "a@b"}, True),
    ({"selector": "input", "attribute": "value", "value": "c@d"}, False),
    ({"selector": ".missing, button"}, True),
    ({"selector": "li", "text": "Chair"}, True),
]


@cache
def database():
    """A shop with three orders."""
    folder = Path(tempfile.mkdtemp(prefix="golden-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    connection = sqlite3.connect(folder / "shop.sqlite")
    connection.execute("CREATE TABLE orders (id INTEGER, city TEXT, total REAL)")
    rows = [(1, "Oslo", 10.0), (2, "Rome", 20.5), (3, "Oslo", 0.1 + 0.2)]
    connection.executemany("INSERT INTO orders VALUES (?, ?, ?)", rows)
    connection.commit()
    connection.close()
    return folder / "shop.sqlite"


def _query(reference, query, label, argument="query"):
    runs = [tool_run(arguments={argument: query}, name="sql")] if query else []
    verifier = sql_result_set({"task-1": reference}, database=database())
    return Case(verifier, run_with(tool_runs=runs), label)


def _page(assertion, holds):
    run = run_with(final_state={"html": PAGE})
    return Case(dom_assert([assertion]), run, "success" if holds else "fail")


_TITLE = dom_assert([{"selector": "#title", "contains": "Order"}, {"selector": "li", "count": 2}])

GOLDEN = {
    "exit_code": [
        Case(
            exit_code("shell"),
            run_with(tool_runs=[tool_run({"exit_code": 5}), tool_run(result)]),
            label,
        )
        for result, label in CODES
    ],
    "http_status": [
        Case(http_status("shell", **options), run_with(tool_runs=[tool_run(result)]), label)
        for result, options, label in STATUSES
    ],
    "sql_result_set": [
        *(_query(*case) for case in QUERIES),
        _query(IDS, IDS, "unknown", argument="statement"),
    ],
    "dom_assert": [
        *(_page(*case) for case in ASSERTIONS),
        Case(_TITLE, run_with(final_state={"html": PAGE}), "success"),
        Case(_TITLE, run_with(final_state=PAGE.replace("Order", "Offer")), "fail"),
        Case(_TITLE, run_with(final_state={"order": 1}), "unknown"),
    ],
}
