"""Statistics over queries: intervals, the test behind a verdict, histograms of scores, thresholds."""
