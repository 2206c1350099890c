"""Second opinions: scores of classifiers that never met the family of the event they score."""
