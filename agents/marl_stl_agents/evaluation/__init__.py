"""How good a trained team is: rollouts, metrics, baselines, faults, specifications."""
