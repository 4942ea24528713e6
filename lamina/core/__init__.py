"""F0: what every floor above may rely on - dtypes, shapes, trees, errors, configuration."""
