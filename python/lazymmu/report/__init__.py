"""Reports: for people, and as plain data."""
