"""What TensorBoard is given of runs and studies, and its server."""
