"""Signal Temporal Logic: formulas, robustness, online monitors, specifications, certificates."""
