"""Convert events of the journal to spans of OpenTelemetry's GenAI conventions."""
