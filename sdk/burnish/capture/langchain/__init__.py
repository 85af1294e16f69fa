"""Convert LangChain's callbacks and LangGraph's runs to calls of the recorder."""
