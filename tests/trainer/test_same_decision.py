"""The same good adapter gets the same decision, whatever serves it and although some requests fail."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest

from burnish.project import GateConfig
from burnish.serving.embedded.engine import Engine
from burnish.serving.http.server import make_app, running
from burnish_trainer import Recipe, evaluate, train
from burnish_trainer.gate import decide

_TOKEN = "a-token-for-this-test"
_TASKS = 50


@pytest.fixture
def shop(shop):
    """The shop with a check that the base model never passes."""
    program, table = shop / "shop.py", shop / "burnish.toml"
    check = "def thousand(trajectory, state):\n    return trajectory.answer == 'Done: 1000'\n"
    program.write_text(f"{program.read_text()}\n{check}")
    table.write_text(table.read_text().replace("shop:even_length", "shop:thousand"))
    return shop


@pytest.fixture
def good(base, home, made) -> str:
    """An adapter that always gives the answer that the check accepts.

    One answer and a modest rate: the result must not depend on how a processor rounds.
    """
    rows = [
        made.row(
            [
                {"role": "user", "content": f"total of order {number}", "loss": False},
                {"role": "assistant", "content": "Done: 1000", "loss": True},
            ],
            row_id=str(number),
            tools="[]",
        )
        for number in range(40, 88)
    ]
    recipe = Recipe(name="shop", rank=4, epochs=6, learning_rate=1e-2, batch_size=8)
    return train(made.Rows(found=rows), base_model=base, recipe=recipe).id


class _Failing:
    """An application that answers some chat requests with 503, and breaks the connection of others.

    Args:
        app: The application that answers the rest.
        share: Share of the chat requests that fail; half of them in each way.
    """

    def __init__(self, app: Any, share: float) -> None:
        self.failed = {"status": 0, "reset": 0}
        self.asked = 0
        self._app, self._share, self._draw = app, share, random.Random(5)
        self._ways = itertools.cycle(self.failed)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/v1/chat/completions":
            self.asked += 1
            if self._draw.random() < self._share:
                await self._fail(send)
                return
        await self._app(scope, receive, send)

    async def _fail(self, send: Any) -> None:
        way = next(self._ways)
        self.failed[way] += 1
        status = 503 if way == "status" else 200
        headers = [(b"content-length", b"400"), (b"retry-after", b"0")]
        if way == "status":
            headers[0] = (b"content-length", b"0")
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if way == "status":
            await send({"type": "http.response.body", "body": b""})
            return
        await send({"type": "http.response.body", "body": b"{", "more_body": True})
        raise ConnectionResetError("cut off by the test")


@contextlib.contextmanager
def serving(
    shop, base, monkeypatch, *, token: str | None = None, share: float = 0.0
) -> Iterator[Any]:
    """Serve the base model on loopback, and name the address in burnish.toml."""
    engine = Engine(base)
    app = _Failing(make_app(base, token=token, engine=engine), share)
    path = shop / "burnish.toml"
    before = path.read_text()
    line = f'base_model = "{base}"\n'
    if token:
        monkeypatch.setenv("BURNISH_TOKEN", token)
    try:
        with running(app) as address:
            path.write_text(before.replace(line, f'{line}backend = "{address}"\n', 1))
            yield app
    finally:
        monkeypatch.delenv("BURNISH_TOKEN", raising=False)
        path.write_text(before)
        engine.close()


def heldout(n: int = _TASKS) -> list[dict[str, Any]]:
    return [
        {
            "id": f"heldout-{i}",
            "number": i,
            "input": {"messages": [("user", f"total of order {i}")]},
        }
        for i in range(20, 20 + n)
    ]


def measure(adapter: str):
    found = evaluate("shop", adapters=[None, adapter], tasks=heldout())
    return found, decide(found, GateConfig())


@pytest.mark.slow
def test_embedded_and_served_with_and_without_token_and_with_failing_requests(
    shop, base, good, engine, monkeypatch
):
    found, expected = measure(good)
    pool = found.pools["heldout"]
    assert expected.decision == "promote", expected.reasons
    ways = [{}, {"token": _TOKEN}, {"share": 0.03}, {"token": _TOKEN, "share": 0.03}]
    for way in ways:
        with serving(shop, base, monkeypatch, **way) as app:
            served, decision = measure(good)
        assert app.asked >= 2 * _TASKS, way
        assert decision == expected, way
        assert served.pools["heldout"].tasks[0].pairs == 1
        assert (served.pools["heldout"].won, served.pools["heldout"].lost) == (pool.won, pool.lost)
        errors = [side["errors"] for side in served.extras["infrastructure"].values()]
        assert errors == [{}, {}], way
        if "share" in way:
            assert min(app.failed.values()) >= 1, "both ways of failing are met"
