"""The front door: what `import latlas` offers and the commands call, a verb a file; heavy imports are inside the functions."""
