"""Encode, decode, bound and convert OTLP."""
