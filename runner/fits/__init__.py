"""One training each: what a worker needs to run a fit in; its result out, and which fits are trained together."""
