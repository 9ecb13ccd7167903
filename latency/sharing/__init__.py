"""Published tables: their names, their index and their stores, and how they are pushed and pulled."""
