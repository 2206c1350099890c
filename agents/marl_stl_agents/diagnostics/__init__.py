"""Whether data, environment and training are sound: preflight and checklist."""
