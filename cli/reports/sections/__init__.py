"""Sections of the HTML report, one file each; `registry` has their order."""
