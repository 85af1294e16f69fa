"""Better prompts for an agent: optimised by GEPA, measured like adapters, and rolled out like them.

registration.py   the registry entry of a version that was evaluated
four_arms.py      base, base with the prompt, adapter, both
reflection.py     the chat model that proposes texts
search_plan.py    the budget of a search, and what its proof can show
agent_runs.py     GEPA's view of the agent: scores and feedback of texts
optimization.py   `optimize_prompt`, from the agent's own texts to a registered version
commands.py       `burnish optimize-prompt` and `burnish canary start`
"""
