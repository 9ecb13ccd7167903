"""The stopwatch: passes against a reference, in a process of their own, until they agree."""
