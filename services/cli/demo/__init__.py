"""The main job: a year and a half of a record shop's real purchases, through the whole system and judged."""
