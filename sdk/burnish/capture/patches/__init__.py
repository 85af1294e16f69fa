"""Changes to other libraries that capture needs: one file a library, each can be undone."""
