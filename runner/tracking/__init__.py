"""Trackers publish the journal. They may lag or be down; nothing depends on them."""
