"""F3: passes, from graph to graph. `pipeline.run` is what backends are preceded by."""
