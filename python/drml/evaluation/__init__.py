"""Metrics and scores, features and what is learned from them, AU relations, saliency."""
