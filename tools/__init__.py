"""Commands, one file per job."""
