"""Convert journal events to OpenTelemetry spans, ship them, and receive spans from other processes.

projection.py      journal events to spans of the GenAI conventions
cursor_reader.py   the spans that an exporter has not had yet
delivery_loop.py   batches, retries and cursors of one destination
shipper.py         the background threads
otlp.py            spans to OTLP and back
receiver.py        the OTLP server of `burnish receive`
intake.py          bytes of a request to the journal
"""
