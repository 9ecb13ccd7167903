"""The functions behind the commands; `latlas.cli` registers them. They import heavy libraries inside."""
