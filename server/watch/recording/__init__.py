"""Recordings of simulators, one MCAP file each: written while they fly, and read back.

    events, commands ─▶ recorder ─items─▶ scribe ─▶ topics ─▶ mcap_file ─▶ DIR/*.mcap ─▶ reader ─▶ replay, export
                        event loop        a thread  messages  the disk

- The same items go live to Foxglove (`live`).
- The recorder is one of the server's listeners. A simulator's watch takes down each event that the session takes in,
  with the commands that it gives, and hands them to the thread.
- `format` says what the messages of /events hold. They are all that a replay needs: a session that takes in the same
  events gives the same commands. The other topics are for players to show.
- A recording of a session's whole life holds no state. One that begins later starts with the session's state, which is
  a value, and with the frames that perception was working on.
- A file is read record by record within bounds (`records`), also by the command that finishes files that were cut off.
- The page shows recordings (`film`), of which a first pass (`steps`) notes where everything is in the file.
- The reader upgrades recordings of older formats message by message (`upgrade`); `comparison` puts a recording beside
  its replay.
- Errors of our own end the recording and stop its drone, and nothing else: see `server.supervision`.
"""
