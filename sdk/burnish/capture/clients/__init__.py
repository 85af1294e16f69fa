"""Record the model calls of API clients inside a `trace`.

`trace.openai`, `trace.anthropic` and `trace.google` copy a client. Its calls pass through one place
(generated_clients.py, google_client.py), where an `Exchange` reads request and reply
(chat_completions.py, responses_form.py, anthropic_form.py, google_form.py) and a `ClientCall`
passes it to the recorder (client_replies.py). The caller receives the client's own result.
"""
