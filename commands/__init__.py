"""The commands of the command line: functions that `latlas.cli` registers; heavy imports are inside them."""
