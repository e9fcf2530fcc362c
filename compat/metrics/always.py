"""Names of the metrics that every measurement has. They need no library, so that help texts can list them."""

ALWAYS = ("CMC@1", "CMC@5", "mAP", "MRR", "recall@10", "nDCG@10")
