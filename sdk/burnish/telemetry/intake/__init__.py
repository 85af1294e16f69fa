"""Receive OTLP over HTTP and gRPC into one workspace."""
