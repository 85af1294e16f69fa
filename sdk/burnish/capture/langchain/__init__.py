"""LangChain's callbacks and LangGraph's runs become calls of the recorder."""
