"""The state machine of the template, run by a real interpreter against the built function."""

import threading
import time


def test_a_campaign_is_sent_from_start_to_done(world):
    world.state_machine()
    campaign = world.campaign(5000)
    output = world.output(world.run({"campaignId": campaign, "batchSize": 1000}))
    assert output["status"] == "done"
    assert world.outcomes(campaign) == {"sent": 5000}
    assert world.accepted() == 5000 and world.received_twice() == []
    events = [event for event, _ in world.functions.invocations]
    nexts = [result["next"] for _, result in world.functions.invocations]
    assert events[1:] == nexts[:-1], "each event is the result's `next` before it"
    assert len(world.executions()) == 1
