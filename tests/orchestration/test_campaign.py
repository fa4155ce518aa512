"""The state machine of the template, run by a real interpreter against the built function."""

import hashlib
import itertools
import json
import time

from function import ROOT


def test_a_campaign_is_sent_from_start_to_done(world):
    world.state_machine()
    campaign = world.campaign(5000)
    output = world.output(world.run({"campaignId": campaign, "batchSize": 1000}))
    assert output["status"] == "done"
    assert world.outcomes(campaign) == {"sent": 5000}
    assert world.accepted() == 5000 and not world.received_twice()
    events = [invocation.event for invocation in world.functions.invocations]
    nexts = [invocation.result["next"] for invocation in world.functions.invocations]
    assert events[1:] == nexts[:-1], "each event is the `next` of the result before it"
    assert len(world.executions()) == 1


def test_a_wait_lasts_as_long_as_the_result_says(world):
    world.state_machine()
    campaign = world.campaign(10, status="scheduled", scheduled_at="now() + interval '5 seconds'")
    assert world.output(world.run({"campaignId": campaign}))["status"] == "done"
    first, second = world.functions.invocations
    assert first.result["status"] == "wait" and 1 <= first.result["waitSeconds"] <= 5
    assert second.started_at - first.ended_at >= first.result["waitSeconds"]


def test_a_halted_campaign_fails_the_execution_with_its_reason_and_tells_someone(world):
    world.state_machine()
    campaign = world.campaign(10, subject="Hello {{ name")
    end = world.run({"campaignId": campaign})
    reason = world.functions.invocations[-1].result["reason"]
    assert (end["status"], end["error"], end["cause"]) == ("FAILED", "CampaignHalted", reason)
    assert world.notifications() == [f"Campaign {campaign} is paused. {reason}"]
    assert world.status(campaign) == "paused" and world.outcomes(campaign) == {"pending": 10}


def test_a_function_that_crashes_in_mid_batch_is_invoked_again_and_nobody_gets_two_emails(world):
    world.state_machine()
    campaign = world.campaign(2000)
    world.configure(FAILPOINTS="send-answered=300*off->return", SEND_API="single")

    def only_the_first_crashes(number, _instance):
        if number == 1:
            world.functions.environment.pop("FAILPOINTS")
        else:
            # The process is dead, so nothing is lost by not waiting for the end of its lease.
            world.database.execute(
                "UPDATE campaign_batches SET lease_ends_at = now() - interval '1 second' WHERE opened_at < %s",
                [crashed_before],
            )

    crashed_before = world.database.execute("SELECT now() + interval '1 second'").fetchone()[0]
    world.functions.before = only_the_first_crashes
    assert world.output(world.run({"campaignId": campaign, "batchSize": 1000}))["status"] == "done"
    assert world.functions.invocations[0].result["errorType"] == "Runtime.ExitError"
    outcomes = world.outcomes(campaign)
    assert set(outcomes) == {"sent", "uncertain"} and sum(outcomes.values()) == 2000
    assert not world.received_twice()


def test_an_error_that_would_come_again_is_not_tried_again(world):
    world.state_machine()
    unknown = "00000000-0000-4000-8000-000000000000"
    for event, error in [
        ({"campaignId": "seven"}, "InvalidEvent"),
        ({"campaing": unknown}, "InvalidEvent"),
        ({"lanes": 2}, "InvalidEvent"),
        ({"campaignId": unknown, "lanes": 41}, "InvalidEvent"),
        ({"campaignId": unknown}, "UnknownCampaign"),
        ({"campaignId": world.campaign(1, status="draft")}, "CampaignNotReady"),
    ]:
        world.functions.invocations.clear()
        end = world.run(event)
        assert (end["status"], end["error"]) == ("FAILED", error)
        assert json.loads(end["cause"])["errorType"] == error
        assert len(world.functions.invocations) == 1


def test_a_long_campaign_goes_on_in_successors(world):
    world.state_machine(passes=3)
    campaign = world.campaign(1000)
    world.run({"campaignId": campaign, "batchSize": 100})
    statuses = [world.output(end)["status"] for end in world.end_all()]
    assert sorted(statuses) == ["done", "unfinished", "unfinished", "unfinished"]
    assert len(world.functions.invocations) == 10
    assert world.outcomes(campaign) == {"sent": 1000} and world.accepted() == 1000


def test_a_wait_counts_towards_the_successor_too(world):
    world.state_machine(passes=1)
    campaign = world.campaign(1, status="scheduled", scheduled_at="now() + interval '1 second'")
    world.run({"campaignId": campaign})
    assert sorted(world.output(end)["status"] for end in world.end_all()) == ["done", "unfinished"]


def test_800_passes_stay_below_the_limit_of_a_history(world):
    """Counts the events that a pass adds to the history, and those that are there with the most lanes and no pass."""
    world.state_machine()
    few, more = (len(world.history(world.start({"campaignId": world.campaign(n), "batchSize": 1}))) for n in (2, 7))
    # A pass by `next` has no `Wait`: two events, and a retry has three.
    per_pass = (more - few) / 5 + 2
    assert per_pass <= 15
    lanes = world.start({"campaignId": world.campaign(2), "batchSize": 1, "lanes": 4})
    # As many as there may be take ten times what four take.
    assert 800 * (per_pass + 5 * 3) + 10 * len(world.history(lanes)) < 25_000


def test_an_idle_tick_takes_three_transitions_and_a_lane_no_execution_of_its_own(world):
    world.state_machine()
    for event in ({}, json.loads((ROOT / "events/eventbridge-scheduler.json").read_text())):
        entered = [found for found in world.history(world.start(event)) if found["type"].endswith("StateEntered")]
        assert len(entered) == 3, entered
    campaign = world.campaign(3)
    history = world.history(world.start({"campaignId": campaign, "batchSize": 1}))
    assert world.outcomes(campaign) == {"sent": 3}
    assert not [found for found in history if found["type"].startswith("MapRun")]
    assert len(world.executions()) == 3


def test_a_successor_that_was_started_already_is_no_failure(world):
    world.state_machine(passes=1)
    execution = f"{world.machine.replace(':stateMachine:', ':execution:')}:redriven"
    successor = hashlib.sha256(execution.encode()).hexdigest()
    # With another input, so that it counts as another start of the same name.
    world.end(world.start({"campaignId": world.campaign(1)}, name=successor))
    end = world.end(world.start({"campaignId": world.campaign(2), "batchSize": 1}, name="redriven"))
    assert world.output(end)["status"] == "unfinished" and len(world.executions()) == 2


def test_four_lanes_share_a_campaign(world):
    world.state_machine()
    campaign = world.campaign(2000)
    world.ses_latency(20)
    end = world.run({"campaignId": campaign, "batchSize": 100, "lanes": 4})
    assert world.output(end)["status"] == "done"
    batches = [invocation for invocation in world.functions.invocations if invocation.result["batch"]["claimed"]]
    assert len(world.functions.instances) == 4
    assert any(one.overlaps(other) for one, other in itertools.combinations(batches, 2))
    assert world.outcomes(campaign) == {"sent": 2000}
    assert world.accepted() == 2000 and not world.received_twice()


def test_a_tick_that_finds_nothing_due_ends(world):
    world.state_machine()
    world.campaign(1, status="draft")
    world.campaign(1, status="scheduled", scheduled_at="now() + interval '1 hour'")
    assert world.output(world.run({}))["status"] == "idle"
    assert len(world.executions()) == 1


def test_one_tick_starts_every_campaign_that_is_due(world):
    world.state_machine()
    campaigns = [
        world.campaign(50, status="scheduled", scheduled_at=f"now() - interval '{minutes} minutes'")
        for minutes in (1, 2, 3)
    ]
    event = json.loads((ROOT / "events/eventbridge-scheduler.json").read_text())
    world.configure(BATCH_SIZE="10")
    assert world.run(event)["status"] == "SUCCEEDED"
    assert [world.status(campaign) for campaign in campaigns] == ["sent"] * 3
    assert world.accepted() == 150 and not world.received_twice()


def test_a_tick_picks_up_a_campaign_whose_orchestrator_died(world):
    world.state_machine()
    campaign = world.campaign(100)
    world.functions.invoke(json.dumps({"campaignId": campaign, "batchSize": 10}).encode())
    assert world.output(world.run({}))["status"] == "done"
    assert world.outcomes(campaign) == {"sent": 100}


def test_overlapping_ticks_never_work_on_a_campaign_at_once(world):
    world.state_machine()
    world.configure(BATCH_SIZE="50")
    campaign = world.campaign(1000)
    world.ses_latency(50)
    watch_claims(world)
    world.start({})
    # Ticks at any moment: in the middle of a batch, and between two.
    while world.status(campaign) != "sent":
        world.start({})
        time.sleep(0.1)
    assert {end["status"] for end in world.end_all()} == {"SUCCEEDED"}
    assert len(world.executions()) > 10
    assert world.database.execute("SELECT max(batches) FROM claimed").fetchone()[0] == 1
    assert world.accepted() == 1000 and not world.received_twice()


def watch_claims(world):
    """Notes, at each claim, how many batches of its campaign are claimed. Claims come one after the other."""
    world.database.execute(
        """CREATE TABLE claimed (batches bigint);
           CREATE FUNCTION note_claims() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN
               INSERT INTO claimed SELECT count(*) FROM campaign_batches
                WHERE campaign_id = NEW.campaign_id AND claim_token IS NOT NULL;
               RETURN NULL;
           END $$;
           CREATE TRIGGER note_claims AFTER INSERT OR UPDATE ON campaign_batches
               FOR EACH ROW EXECUTE FUNCTION note_claims()"""
    )
