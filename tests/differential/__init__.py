"""The core against the reference: equal programs give equal machines, results, events, counts and findings."""
