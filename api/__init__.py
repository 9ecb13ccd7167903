"""The functions that `import latlas` offers and the commands call, one in each file. They import heavy libraries inside."""
