"""How `LocalModel` answers: media, prompts, keys and values, decoding, and what is kept of each."""
