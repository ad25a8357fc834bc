"""Studies: many runs by design, to find which is better, and whether that is luck."""
