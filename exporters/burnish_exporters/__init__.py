"""Spans become verified, curated, versioned datasets."""
