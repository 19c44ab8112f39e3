"""Paid calls: requests, annotators, limits per minute, the ledger, prices, token counts."""
