"""Fields of entries, and what hardware says of them. Each format gives the kinds of its levels (`Format.layouts`)."""
