"""Archive old segments, remove them, and erase forgotten content from them."""
