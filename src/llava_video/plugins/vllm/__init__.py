"""LLaVA-Video in vLLM, which finds `register` by the entry point ``vllm.general_plugins``."""
