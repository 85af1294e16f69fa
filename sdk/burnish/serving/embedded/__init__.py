"""Run the embedded engine: one base model, adapter slots, batches, one worker thread."""
