"""Search spaces and architectures as plain data, without torch."""
