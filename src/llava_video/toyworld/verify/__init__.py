"""Checks of toyworld's truth: detectors, an observer, a solver, a text-only baseline."""
