"""The method `gallery`: its losses in `method`, its head and what that keeps of a gallery in `imitating_head`."""
