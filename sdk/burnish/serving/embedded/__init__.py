"""The engine inside this process: slots, batches, one worker. The only place that owns a model."""
