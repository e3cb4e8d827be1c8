"""Which servers are taken for the one before, and which of them for one that lacks something."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidemark.source.cut import NOT_TOLD, Cut, Identity
from tidemark.source.server import Server

SHOP = Identity(system_identifier="7", timeline="1", started="monday", database="shop")
CUT = Cut(xmin=700, xmax=710, time="", lsn="0/5000100", visible_xids=(703,))


def changed(identity: Identity, **changes: str) -> Identity:
    return Identity(**(vars(identity) | changes))


def behind(now: Identity = SHOP, lsn: str | None = "0/5000100", xmax: int = 710, cut: Cut = CUT, **before: str) -> bool:
    server = Server(now, standby=False, lsn=lsn, tells_flushed=True)
    found = Cut(xmin=xmax, xmax=xmax, time="", lsn=lsn)
    return server.behind(changed(SHOP, **before), cut, found) is not None


def test_where_the_log_is_behind_so_is_the_server() -> None:
    assert not behind()
    assert behind(lsn="0/4FFFFFF")
    assert behind(lsn="0/4FFFFFF", xmax=10_000)


def test_a_log_that_has_passed_the_cut_again_hides_nothing() -> None:
    assert behind(lsn="0/9000000", xmax=703)
    assert not behind(lsn="0/9000000", xmax=704), "a crash gives later ids out again"
    assert behind(lsn="0/9000000", xmax=709, cut=Cut(xmin=700, xmax=710, time="", lsn="0/5000100", visible_xids=None))


@pytest.mark.parametrize(("now", "before"), [("8", "7"), ("7", "8")])
def test_servers_that_tell_that_they_are_others_are_others(now: str, before: str) -> None:
    assert not behind(changed(SHOP, system_identifier=now), "0/1", 3, system_identifier=before)
    assert not behind(changed(SHOP, database="another"), "0/1", 3)


@pytest.mark.parametrize("now", ["7", f"{NOT_TOLD}10.0.0.2"])
@pytest.mark.parametrize("before", ["7", f"{NOT_TOLD}10.0.0.1"])
def test_whoever_does_not_tell_may_be_the_same(now: str, before: str) -> None:
    another = changed(SHOP, system_identifier=now)
    assert behind(another, None, 703, system_identifier=before)
    assert behind(another, "0/3000000", 9_000, system_identifier=before)
    assert not behind(another, None, 704, system_identifier=before)


@given(st.integers(3, 2**40), st.sets(st.integers(0, 60)), st.integers(0, 60))
def test_no_id_that_a_cut_shows_is_given_out_again(xmin: int, shown: set[int], ahead: int) -> None:
    xids = tuple(sorted(xmin + one for one in shown if one < ahead))
    cut = Cut(xmin=xmin, xmax=xmin + ahead, time="", lsn=None, visible_xids=xids)
    assert cut.xmin <= cut.surely_used <= cut.xmax
    assert all(xid < cut.surely_used for xid in xids)
