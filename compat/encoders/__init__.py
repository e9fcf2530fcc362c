"""Encoders, one file each; `registry` names them."""
