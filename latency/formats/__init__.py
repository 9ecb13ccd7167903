"""Tables of other projects, read and written."""
