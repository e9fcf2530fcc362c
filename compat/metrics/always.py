"""Names of the metrics that every measurement has. This file imports no library, so that help texts load fast."""

ALWAYS = ("CMC@1", "CMC@5", "mAP", "MRR", "recall@10", "nDCG@10")
