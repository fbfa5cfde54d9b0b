"""The way out to merchants' servers: which addresses may be called, and one signed POST to one of them."""
