"""Numbers in, numbers out: metrics, and whether a difference is luck."""
