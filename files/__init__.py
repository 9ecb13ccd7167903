"""Everything about files and processes: atomic writing, records, journals, locks, scratch folders, signals."""
