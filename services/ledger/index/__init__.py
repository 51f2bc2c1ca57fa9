"""The segmented index over what is logged: writing it in batches, merging it, looking things up in it."""
