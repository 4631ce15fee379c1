//! Nothing but tests: crates that we did not write build the tables that our walkers build, and the words are the same.
