"""Reports: run folders in, findings in plain words and pages out. Loads neither Keras nor JAX."""
