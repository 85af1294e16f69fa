"""Ship the spans of many processes to receivers until each span is accepted."""
