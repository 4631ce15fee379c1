"""*What* a store, a barrier, a flush, a sync or a lazy hook does on one architecture.

Backends do not know who calls them.
"""
