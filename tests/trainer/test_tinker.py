"""Training through the Tinker API: a server of its JSON form that really trains the tiny model."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from torch.nn import functional

from burnish.errors import EmptyDataset, TrainingError
from burnish_trainer import Recipe, train
from burnish_trainer.recipes.lora import add_adapter, ignore_future_warnings, load_base
from burnish_trainer.rows.token_rows import TokenRow
from burnish_trainer.tinker import TinkerClient, train_on_tinker
from burnish_trainer.tinker.data import attempt_datum, row_datum

RECIPE = {"rank": 4, "epochs": 1, "learning_rate": 1e-2, "batch_size": 8, "warmup_steps": 1}
KEY = "tml-test"


class TinyTinker:
    """The API's routes over a tiny model; results come by `retrieve_future`, after one `try_again`."""

    def __init__(self, base):
        self.base, self.seen, self.results, self.waited = base, [], {}, set()
        self.model = self.optimizer = None
        self.busy = 1  # answers 429 that many times

    def answer(self, route, body):
        self.seen.append((route, body))
        if route == "create_session":
            return 200, {"session_id": "s1", "type": "create_session"}
        if route == "retrieve_future":
            name = body["request_id"]
            if name not in self.waited:
                self.waited.add(name)
                return 200, {"type": "try_again", "request_id": name, "queue_state": "active"}
            return 200, self.results.pop(name)
        if route == "forward_backward" and self.busy:
            self.busy -= 1
            return 429, {"error": "busy"}
        name = f"r{len(self.seen)}"
        self.results[name] = getattr(self, route)(body)
        return 200, {"request_id": name}

    def create_model(self, body):
        if body["base_model"] != "tiny":
            return {"error": f"no base model {body['base_model']}", "category": "user"}
        recipe = Recipe(rank=body["lora_config"]["rank"], seed=body["lora_config"]["seed"])
        with ignore_future_warnings():
            self.model = add_adapter(load_base(self.base, recipe)[0], recipe, None)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, weight_decay=0.0)
        return {"model_id": "m1", "type": "create_model"}

    def forward_backward(self, body):
        outputs, loss = [], 0.0
        for datum in body["forward_backward_input"]["data"]:
            (chunk,) = datum["model_input"]["chunks"]
            inputs = datum["loss_fn_inputs"]
            targets = torch.tensor(inputs["target_tokens"]["data"])
            logits = self.model(torch.tensor([chunk["tokens"]])).logits[0]
            logprobs = -functional.cross_entropy(logits, targets, reduction="none")
            loss = loss - (torch.tensor(inputs["weights"]["data"]) * logprobs).sum()
            outputs.append({"logprobs": {"data": logprobs.tolist(), "dtype": "float32"}})
        loss.backward()
        return {"loss_fn_output_type": "TorchLossReturn", "loss_fn_outputs": outputs, "metrics": {}}

    def optim_step(self, body):
        adam = body["adam_params"]
        trained = [p for p in self.model.parameters() if p.requires_grad]
        torch.nn.utils.clip_grad_norm_(trained, adam["grad_clip_norm"])
        for group in self.optimizer.param_groups:
            group |= {
                "lr": adam["learning_rate"],
                "betas": (adam["beta1"], adam["beta2"]),
                "eps": adam["eps"],
            }
        self.optimizer.step()
        self.optimizer.zero_grad()
        return {"metrics": {}, "type": "optim_step"}

    def save_weights(self, body):
        return {"path": f"tinker://m1/weights/{body['path']}", "type": "save_weights"}


@pytest.fixture
def tinker(base):
    tiny = TinyTinker(base)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.headers.get("X-API-Key") != KEY:
                status, found = 401, {"error": "invalid key"}
            else:
                status, found = tiny.answer(self.path.removeprefix("/api/v1/"), body)
            data = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    tiny.url = f"http://127.0.0.1:{server.server_port}"
    yield tiny
    server.shutdown()
    server.server_close()
    thread.join()


def test_weights_on_the_server_are_those_of_local_training(tinker, orders, base, home, tokenizer):
    remote = train_on_tinker(
        orders,
        base_model="tiny",
        tokenizer=tokenizer,
        recipe=RECIPE,
        client=TinkerClient(tinker.url, KEY),
    )
    assert remote.path == "tinker://m1/weights/adapter"
    assert remote.steps == len(remote.losses) == 3
    assert remote.losses[-1] < remote.losses[0]
    # A trie orders rows by their prefixes; the server gets them in the order without one.
    local = train(orders, base_model=base, recipe={**RECIPE, "prefix_sharing": "off"})
    model, _ = load_base(base, Recipe(rank=4))
    with ignore_future_warnings():
        here = add_adapter(model, Recipe(rank=4), local.path).eval()
    ids = torch.tensor([[1, 20, 33, 47, 5, 61]])
    with torch.no_grad():
        assert torch.allclose(tinker.model.eval()(ids).logits, here(ids).logits, atol=1e-4)


def test_requests_are_numbered_and_a_busy_server_is_asked_again(tinker, orders, tokenizer):
    train_on_tinker(
        orders,
        base_model="tiny",
        tokenizer=tokenizer,
        recipe=RECIPE,
        client=TinkerClient(tinker.url, KEY),
    )
    numbers = [body["seq_id"] for route, body in tinker.seen if "seq_id" in body]
    assert numbers == [1, 1, 2, 3, 4, 5, 6, 7]  # the first was answered with 429 and sent again


def test_what_the_server_refuses_is_an_error_that_says_so(tinker, orders, tokenizer):
    with pytest.raises(TrainingError, match="no base model huge"):
        train_on_tinker(
            orders, base_model="huge", tokenizer=tokenizer, client=TinkerClient(tinker.url, KEY)
        )
    with pytest.raises(TrainingError, match="refused with 401"):
        train_on_tinker(
            orders, base_model="tiny", tokenizer=tokenizer, client=TinkerClient(tinker.url, "tml-x")
        )
    with pytest.raises(TrainingError, match="objective 'dpo' on a Tinker server"):
        train_on_tinker(orders, base_model="tiny", tokenizer=tokenizer, recipe={"objective": "dpo"})
    orders.found = []
    with pytest.raises(EmptyDataset):
        train_on_tinker(orders, base_model="tiny", tokenizer=tokenizer)


def test_a_missing_address_is_refused(monkeypatch):
    monkeypatch.delenv("TINKER_BASE_URL", raising=False)
    with pytest.raises(TrainingError, match="TINKER_BASE_URL"):
        TinkerClient()


def test_targets_are_the_next_tokens_and_weights_those_of_learned_ones():
    row = TokenRow("r", [1, 2, 3, 4], [-100, -100, 3, 4], weight=0.5)
    datum = row_datum(row, total_weight=2.0)
    assert datum["model_input"] == {"chunks": [{"type": "encoded_text", "tokens": [1, 2, 3]}]}
    inputs = datum["loss_fn_inputs"]
    assert inputs["target_tokens"] == {"data": [2, 3, 4], "dtype": "int64", "shape": [3]}
    assert inputs["weights"] == {"data": [0.0, 0.25, 0.25], "dtype": "float32", "shape": [3]}
    attempt = attempt_datum([1, 2, 3], [0.0, -0.5, 0.0], [0.0, 1.5, 0.0])["loss_fn_inputs"]
    assert attempt["logprobs"]["data"] == [-0.5, 0.0]
    assert attempt["advantages"]["data"] == [1.5, 0.0]
