"""Speed, held to plain baselines: every ratio is of two measurements of the same run on the same machine."""
