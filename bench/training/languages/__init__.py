"""Sentences that are said in several languages."""
