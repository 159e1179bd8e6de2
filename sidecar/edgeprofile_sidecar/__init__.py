"""The EdgeProfile sidecar."""
