"""Clients of model APIs inside a `trace`: each call of a model is recorded by itself.

`trace.openai`, `trace.anthropic` and `trace.google` give a copy of a client. Its calls go through one
place (generated_clients.py, google_client.py), where an `Exchange` reads what is asked and answered
(chat_completions.py, responses_form.py, anthropic_form.py, google_form.py) and a `ClientCall` hands it
to the recorder (client_replies.py). The caller gets what the client gave.
"""
