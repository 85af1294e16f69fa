"""Metrics for the user's meter."""

from __future__ import annotations

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from burnish.journal.writer import writer_for
from burnish.telemetry.delivery.delivery_loop import ShippingPolicy
from burnish.telemetry.delivery.metrics import MeterReceiver
from burnish.telemetry.delivery.shipper import Shipper, measure_lag
from burnish.testing.recording import Recording


def points(reader):
    data = reader.get_metrics_data()
    (resource,) = data.resource_metrics
    (scope,) = resource.scope_metrics
    return {metric.name: list(metric.data.data_points) for metric in scope.metrics}


def test_durations_tokens_losses_and_what_waits_are_on_the_meter(tmp_path):
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    receiver = MeterReceiver(provider.get_meter("burnish"), lambda: measure_lag(tmp_path))
    shipper = Shipper(tmp_path, [receiver], ShippingPolicy())
    shipper.start()
    recording = Recording(tmp_path, writer_for(tmp_path))
    run = recording.run("a" * 32)
    run.model_says("hm", usage={"input_tokens": 7, "output_tokens": 3})
    run.run_tool("c0", {}, "x")
    run.end(losses={"dropped_frames": 2})

    assert shipper.flush(20) == {"metrics": 0}
    found = points(reader)
    shipper.close()
    provider.shutdown()
    (chat,) = found["gen_ai.client.inference.duration"]
    assert chat.count == 1
    assert chat.attributes["gen_ai.request.model"] == "tiny"
    assert len(found["gen_ai.execute_tool.duration"]) == 1
    assert len(found["gen_ai.invoke_agent.duration"]) == 1
    tokens = {name.rpartition(".")[2]: p[0].value for name, p in found.items() if ".usage." in name}
    assert tokens == {"input_tokens": 7, "output_tokens": 3}
    assert [(p.value, p.attributes["kind"]) for p in found["burnish.losses"]] == [
        (2, "dropped_frames")
    ]
    assert found["burnish.journal.unshipped"][0].attributes["exporter"] == "metrics"
