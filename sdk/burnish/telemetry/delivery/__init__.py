"""Ships the spans of many processes to receivers, each until it was taken."""
