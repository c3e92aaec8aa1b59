"""The Bundle: layout, manifest, hashes. See docs/bundle.md for the format without reference to this code."""

from __future__ import annotations

from .manifest import Evidence, FileEntry, Golden, Manifest, TaskRecord, Variant
from .reader import Bundle

__all__ = ["Bundle", "Evidence", "FileEntry", "Golden", "Manifest", "TaskRecord", "Variant"]
