"""How anything is written and held: records, journals, locks, scratch folders, signals."""
