"""The report as one HTML page: hand-made SVG, no scripts, no external assets, light and dark."""
