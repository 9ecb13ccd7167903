"""The stopwatch: it times networks against a reference, in a process of its own, until the passes agree."""
