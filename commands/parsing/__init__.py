"""Makes the options of a command from frozen dataclasses, and shows them in its help."""
