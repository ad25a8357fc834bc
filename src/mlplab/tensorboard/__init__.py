"""What runs and studies write for TensorBoard, and its server."""
