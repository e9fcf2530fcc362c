"""Encoders: networks from items to features, one file or folder each.

`encoder` says what an encoder is, `registry` names them all, `choice` picks one for a training, and `prepared` keeps
decoded items. `images` is shared by the encoders of images.
"""
