"""One search from beginning to end: a folder, a journal, finalists, the exported network."""
