"""One module a training phase; each phase is a function of its config and a run folder."""
