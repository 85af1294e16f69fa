"""Receives OTLP over HTTP and gRPC into one workspace."""
