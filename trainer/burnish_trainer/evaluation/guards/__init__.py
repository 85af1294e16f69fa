"""Guard the loop over rounds: collapse of the agent's behaviour, and drift of what surrounds it.

round_facts.py   what one round leaves behind: success by kind, diversity, pass@k, entropy, its training data
collapse.py      pure rules over the facts of all rounds
drift.py         pure comparison of verifiers, prompts, tool schemas, base model and tasks, then and now
leak.py          tasks that measure a version among the rows that it learned
gap.py           success on training tasks against success on held-out ones
assessment.py    reads both from a workspace for an evaluation

Findings are plain data. The gate rejects on `reject`, doubts on `doubt`, and the report shows all of them.
"""
