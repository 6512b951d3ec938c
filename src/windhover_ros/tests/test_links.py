import threading

from windhover_ros.links import BlockingSlot, LatestSlot, make_link


def test_newest_wins_and_what_it_replaced_is_counted():
    slot = LatestSlot()
    for n in range(5):
        assert slot.put(n)
    assert slot.take(0) == 4
    assert slot.dropped == 4
    assert slot.take(0) is None


def test_closed_slot_gives_what_is_inside_then_none():
    slot = LatestSlot()
    slot.put("last")
    slot.close()
    assert not slot.put("late")
    assert slot.take() == "last"
    assert slot.take() is None


def test_handover_loses_nothing_and_keeps_order():
    link = make_link(lossless=True)
    taken = []

    def consume():
        while (item := link.take()) is not None:
            taken.append(item)

    thread = threading.Thread(target=consume)
    thread.start()
    for n in range(1, 500):
        link.put(n)
    link.close()
    thread.join(30)
    assert taken == list(range(1, 500))
    assert link.dropped == 0


def test_closing_frees_a_giver_that_waits():
    link = BlockingSlot()
    link.put("full")
    result = []
    thread = threading.Thread(target=lambda: result.append(link.put("waits")))
    thread.start()
    link.close()
    thread.join(30)
    assert result == [False]


def test_items_are_handed_over_not_copied():
    item = object()
    for lossless in (True, False):
        link = make_link(lossless)
        link.put(item)
        assert link.take(0) is item
