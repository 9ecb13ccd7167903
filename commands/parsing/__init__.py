"""How the options of a command are made from frozen dataclasses, and how its help shows them."""
