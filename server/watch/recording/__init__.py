"""Recordings of sessions, an MCAP file each.

app ─▶ recorder ─items─▶ scribe ─▶ topics ─▶ mcap_file ─▶ DIR/*.mcap ─▶ tools/replay.py, tools/export_dataset.py
       event loop        a thread  messages  the disk
         └─▶ snapshot, of a session in its middle
"""
