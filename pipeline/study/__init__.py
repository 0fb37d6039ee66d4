"""The study: every variant as one point between quality, size and speed.

`plan` says what there is to make, `points` makes and measures it, `farm` does so on Ray, `search`
lets Optuna choose, and `summary`, `plots` and `page` show the points that have been kept.
"""
