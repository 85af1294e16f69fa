"""Render conversations with the package `renderers`: the prompt of the last reply, and the tokens that it owns.

usage: python read_renderers.py GIVEN.json RESULT.json
"""

import json
import re
import sys
from pathlib import Path

from renderers import build_training_sample, configs, create_renderer
from transformers import PreTrainedTokenizerFast

_MISSING = re.compile(r"[Tt]oken (?:for )?'?([<\[][^']+[>\]])'?")


def main(given: Path, result: Path) -> None:
    found = {}
    for name, family in json.loads(given.read_text()).items():
        tokenizer = PreTrainedTokenizerFast.from_pretrained(family["tokenizer"])
        config = getattr(configs, family["config"])(**family["options"])
        renderer = _make_renderer(tokenizer, config)
        found[name] = [_render_reply(renderer, tokenizer, *one) for one in family["calls"]]
    result.write_text(json.dumps(found))


def _make_renderer(tokenizer: PreTrainedTokenizerFast, config: object) -> object:
    """Return a renderer; marks that it needs and the template never prints are added to the tokenizer."""
    while True:
        try:
            return create_renderer(tokenizer, config)
        except AssertionError as error:
            missing = _MISSING.search(str(error))
            if missing is None or not tokenizer.add_tokens([missing[1]], special_tokens=True):
                raise


def _render_reply(
    renderer: object, tokenizer: PreTrainedTokenizerFast, messages: list, tools: list
) -> dict:
    try:
        prompt = renderer.render_ids(messages[:-1], tools=tools or None, add_generation_prompt=True)
        sample = build_training_sample(
            renderer,
            messages,
            tools=tools or None,
            ensure_final_stop=True,
            message_loss_mask=[0] * (len(messages) - 1) + [1],
        )
    except Exception as error:  # noqa: BLE001 - a renderer may raise anything; the test names it
        return {"error": f"{type(error).__name__}: {error}"}
    whole = tokenizer.decode(sample.token_ids)
    owned = [token for token, mine in zip(sample.token_ids, sample.loss_mask, strict=True) if mine]
    return {
        "prompt": tokenizer.decode(prompt),
        "whole": whole,
        "reply": tokenizer.decode(owned),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
