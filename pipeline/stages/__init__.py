"""The steps of a run, each reading what earlier ones left; `pipeline.tools.run` has the order."""
