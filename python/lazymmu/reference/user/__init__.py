"""User mappings: the loops of ``mm/memory.c`` and its neighbours, and what they need (docs/model/user-mappings.md)."""
