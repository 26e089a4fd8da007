"""How often the words of a report are wrong: simulated studies, decided as real ones are."""
