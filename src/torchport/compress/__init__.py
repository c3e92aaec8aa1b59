"""Recipes that make a model smaller or faster, and chains of them."""

from __future__ import annotations

from .base import Recipe, RecipeContext
from .chain import Chain, Link, parse
from .registry import recipes

__all__ = ["Chain", "Link", "Recipe", "RecipeContext", "parse", "recipes"]
