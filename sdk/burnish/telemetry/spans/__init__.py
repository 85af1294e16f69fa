"""Events of the journal become spans of OpenTelemetry's GenAI conventions."""
