"""OTLP: its encodings, limits, declared types, and what received spans become."""
