"""Natural text: documents of a corpus, and their tokens."""
