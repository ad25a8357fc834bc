"""Trackers: services that collect runs, such as MLflow, fed while a run is trained."""
