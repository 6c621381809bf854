import pytest

from model.scoring import HeroScore
from model.training_log import EpochLog, best_epoch, read_log, write_log


def test_a_log_reads_as_it_was_written(tmp_path):
    log = [EpochLog(1, 2.5), EpochLog(2, 1.25, HeroScore(0.5, 6, 1, 3)), EpochLog(3, 1.0)]
    write_log(tmp_path / "log.csv", log)
    assert (tmp_path / "log.csv").read_text().splitlines() == [
        "epoch,loss,quality,hero_iou,tp,fp,fn",
        "1,2.5,,,,,",
        "2,1.25,0.3,0.5,6,1,3",
        "3,1.0,,,,,",
    ]
    assert read_log(tmp_path / "log.csv") == log


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x,y\n1,2\n", "'quality'"),
        ("epoch,loss,quality\n1,2.5,\n2,\n", "could not convert string to float: ''"),
        ("epoch,loss,quality\n1,2.5,\n2\n", "float"),
        ("epoch,loss,quality,hero_iou,tp,fp,fn\n1,2.5,0.3,0.5,z,1,3\n", "'z'"),
        ("epoch,loss,quality\n\xff\n", "can't decode byte 0xff"),
        ("epoch,loss,quality\n1,2.5,\n3,2.5,\n", "1, 3"),
    ],
)
def test_a_damaged_log_is_refused_by_its_name(tmp_path, text, reason):
    (tmp_path / "log.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=rf"^expected the .* in {tmp_path / 'log.csv'}, got.*{reason}"):
        read_log(tmp_path / "log.csv")


def test_a_log_that_is_not_there_yet_is_empty(tmp_path):
    assert read_log(tmp_path / "log.csv") == []


def test_the_best_epoch_is_the_first_of_the_highest_quality():
    low, high = HeroScore(0.5, 6, 1, 3), HeroScore(0.9, 9, 0, 1)
    log = [EpochLog(1, 2.0), EpochLog(2, 1.5, low), EpochLog(3, 1.2, high), EpochLog(4, 1.1, high)]
    assert best_epoch(log) == EpochLog(3, 1.2, high)
    assert best_epoch(log[:1]) is None
