"""Print the traces of an MLflow server, as its own client reads them; runs in MLflow's environment.

usage: python read_mlflow.py SERVER
"""

import json
import sys

from mlflow import MlflowClient


def span_of(span) -> dict:
    """A span as the page of a trace shows it."""
    return {
        "name": span.name,
        "kind": span.span_type,
        "status": span.status.status_code.name,
        "message": span.status.description,
        "input": span.inputs,
        "output": span.outputs,
        "attributes": dict(span.attributes),
        "events": [dict(event.attributes) for event in span.events],
    }


def trace_of(trace) -> dict:
    """A trace as the list of traces shows it, and its spans."""
    info = trace.info
    return {
        "question": json.loads(info.request_preview or "null"),
        "answer": json.loads(info.response_preview or "null"),
        "status": info.state.name,
        "thread": info.trace_metadata.get("mlflow.trace.session"),
        "user": info.trace_metadata.get("mlflow.trace.user"),
        "tokens": info.token_usage,
        "spans": [span_of(span) for span in trace.data.spans],
    }


if __name__ == "__main__":
    found = MlflowClient(sys.argv[1]).search_traces(locations=["0"])
    print(json.dumps({trace.info.trace_id.removeprefix("tr-"): trace_of(trace) for trace in found}))
