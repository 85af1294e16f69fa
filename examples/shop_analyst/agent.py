"""The sales analyst: LangChain's `create_agent` with three tools that query the database."""

from __future__ import annotations

from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.tools import ToolException, tool
from shop import select

PROMPT = (
    "You are the shop agent. Look before you act, make no needless call, "
    "and answer with Done: or Sorry: and the fact."
)


@tool
def find_customer(name: str) -> dict[str, Any]:
    """Find a customer's id by name."""
    found = select("SELECT id FROM customers WHERE name = ?", name)
    if not found:
        raise ToolException("not found")
    return {"customer": found[0]["id"]}


@tool
def list_orders(customer: int) -> dict[str, Any]:
    """List the ids of a customer's orders."""
    found = select("SELECT id FROM orders WHERE customer = ?", customer)
    if not found:
        raise ToolException("not found")
    return {"orders": [row["id"] for row in found]}


@tool
def get_order(order: int) -> dict[str, Any]:
    """Show an order: its status, total, tax and city."""
    found = select("SELECT status, total, tax, city FROM orders WHERE id = ?", order)
    if not found:
        raise ToolException("not found")
    return found[0]


TOOLS = [find_customer, list_orders, get_order]
for one in TOOLS:
    one.handle_tool_error = True  # the model sees its mistake and may try again
    one.handle_validation_error = "bad arguments"


def build(model: BaseChatModel) -> Any:
    """Return the agent with this chat model."""
    return create_agent(model, tools=TOOLS, system_prompt=PROMPT)
