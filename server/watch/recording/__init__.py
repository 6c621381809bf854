"""Recordings of simulators, one MCAP file each: written while they fly, and read back.

    events, commands ─▶ recorder ─items─▶ scribe ─▶ topics ─▶ mcap_file ─▶ DIR/*.mcap ─▶ reader ─▶ replay, export
                        event loop        a thread  messages  the disk

- The same items go live to Foxglove (`live`).
- The recorder is one of the server's listeners. A simulator's watch notes each event that the session takes in, with
  the session's commands, and hands them to the thread.
- `format` defines the messages of /events. A replay needs only these messages: a session that takes in the same events
  returns the same commands. The other topics are for players to show.
- A recording that begins with its session holds no state. A recording that begins later starts with the session's
  state, which is a value, and with the frames that perception was working on.
- A file is read record by record within bounds (`records`), also by the command that completes files that were cut off.
- The page shows recordings (`film`). A first pass (`steps`) notes the place of all records in the file.
- The reader upgrades recordings of older formats message by message (`upgrade`). `comparison` compares a recording with
  its replay.
- An error of our own ends the recording and stops its drone; everything else goes on (`server.supervision`).
"""
