"""Train on a prefix trie: each distinct token of many rows is computed once.

    trie = build_trie([row.input_ids for row in rows])       # prefix_trie.py
    pieces = pack_rows(sequences, token_budget=8192)          # planner.py
    logprobs = attention_logprobs(model, trie, wanted)        # tree_attention.py, or depth_first.py

Rows that begin with the same tokens share them. Positions are depths, and a token attends to its own ancestors, so
every log-probability, and every gradient, equals that of the rows computed one by one. `tree_batch.py` runs a loss over
such log-probabilities, and `self_check.py` compares them with single rows before a training starts.
"""

from __future__ import annotations
