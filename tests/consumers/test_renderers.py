"""Our tokens of a reply are those that the hand-written renderers own, or a written case says which of the two is wrong.

gpt-oss is left out: its renderer loads its vocabulary from the network. So are Llama 3.2, whose template prints today's
date, and templates older than the ones that the renderers imitate.
"""
# ruff: noqa: RUF001 - marks of DeepSeek

from __future__ import annotations

import pytest
from consuming import read_with
from shipped_templates import byte_tokenizer, shipped_tokenizer, template_text
from test_template_matrix import CONVERSATIONS

from burnish.errors import TrainingError
from burnish.serving.contract.template_form import TemplateForm, messages_for_template
from burnish_trainer.rows.rendering import ChatRendering

FAMILIES = {
    "qwen3": ("Qwen3RendererConfig", {}),
    "qwen3_vl": ("Qwen3VLRendererConfig", {}),
    "qwen3_5_think": ("Qwen35RendererConfig", {"enable_thinking": True}),
    "qwen3_5_nothink": ("Qwen35RendererConfig", {"enable_thinking": False}),
    "qwen3_6": ("Qwen36RendererConfig", {}),
    "qwen3_8": ("Qwen38RendererConfig", {}),
    "gemma4_v5": ("Gemma4RendererConfig", {}),
    "glm4moe": ("GLM45RendererConfig", {}),
    "nemotron_3_nano": ("Nemotron3RendererConfig", {}),
    "nemotron_3_super": ("Nemotron3RendererConfig", {}),
    "nemotron_3_ultra": ("Nemotron3UltraRendererConfig", {}),
    "nemotron_3_5_lightning": ("Nemotron35RendererConfig", {}),
    "llama3_1": ("Llama3RendererConfig", {}),
    "deepseek_r1_distill": ("DeepSeekR1RendererConfig", {}),
}
BEGIN = {
    "llama": "<|begin_of_text|>",
    "deepseek": "<｜begin▁of▁sentence｜>",
    "gemma": "<bos>",
}

# Conversations that are not compared: our template and their renderer are of different revisions, or one of them says
# that it cannot print the conversation.
APART = {
    ("qwen3_5_nothink", "two turns"): "their history prints an empty thought, the template's does not",
    ("qwen3_5_nothink", "thought"): "they own a thought behind a prompt that closed it",
    ("qwen3_5_nothink", "thought and call"): "they own a thought behind a prompt that closed it",
}  # fmt: skip


def owned(name, context, reply):
    """Return what the renderer owns of a reply that we learn; each branch says which of the two is wrong."""
    if name == "glm4moe":
        # They are wrong: the server's prompt ends before the line break, so the model writes it; and they close the last
        # turn with the tokenizer's end, though the model stops where the next turn begins.
        return reply.removeprefix("\n").replace("<|user|>", "<|endoftext|>").replace("<|observation|>", "<|endoftext|>")  # fmt: skip
    if name == "deepseek_r1_distill":
        # They are wrong: the prompt opened a thought, and their reply never closes it.
        return reply.rpartition("</think>\n\n")[2]
    if name.startswith("nemotron"):
        # They are wrong: the prompt holds the opening mark already; their history prints an empty thought without its
        # line break, which no prompt of a server does.
        return ("<think>" if reply.startswith("</think>") else "<think>\n") + reply
    # They are wrong: marks of the prompt count as written by the model.
    for opened in ("<think>\n\n</think>\n\n", "<think>\n"):
        if context.endswith(opened):
            return opened + reply
    return reply


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Each reply as we render it, with what the renderers make of the same messages."""
    folder, ours, given = tmp_path_factory.mktemp("renderers"), {}, {}
    for name, (config, options) in FAMILIES.items():
        begin = next((mark for key, mark in BEGIN.items() if name.startswith(key)), "<|begin|>")
        end = shipped_tokenizer(name).eos_token
        tokenizer = byte_tokenizer(template_text(name), end=end, begin=begin)
        tokenizer.save_pretrained(folder / name)
        ours[name] = list(replies(tokenizer))
        given[name] = {
            "tokenizer": str(folder / name),
            "config": config,
            "options": options,
            "calls": [[messages, tools] for _, messages, tools, _ in ours[name]],
        }
    theirs = read_with("renderers", given, folder)
    return {
        name: [
            (kind, mine, found)
            for (kind, _, _, mine), found in zip(ours[name], theirs[name], strict=True)
        ]
        for name in FAMILIES
    }


def replies(tokenizer):
    rendering = ChatRendering(tokenizer)
    for kind, (messages, tools) in CONVERSATIONS.items():
        for at, message in enumerate(messages):
            if message["role"] == "assistant":
                try:
                    call = rendering.render_call(messages[: at + 1], tools)
                    mine = tokenizer.decode(call.prompt), tokenizer.decode(call.completion)
                except TrainingError:
                    mine = None
                yield kind, messages_for_template(messages[: at + 1], TemplateForm()), tools, mine


@pytest.mark.parametrize("name", FAMILIES)
def test_our_reply_is_what_the_renderer_owns(compared, name):
    equal = 0
    for kind, mine, found in compared[name]:
        if mine is None or (name, kind) in APART:
            continue
        context, reply = mine
        assert found["prompt"] == context, kind
        assert found["reply"] == owned(name, context, reply), kind
        equal += 1
    assert equal >= 5
