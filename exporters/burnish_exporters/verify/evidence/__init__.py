"""Evidence that verifiers read: code of an agent, a transcript, spellings, claims."""
