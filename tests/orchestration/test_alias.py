"""The aliases of the functions: a version for each change of code or settings, who invokes them, how traffic moves."""

import copy

import pytest

import cloudformation
from conftest import ACCOUNT, REGION
from test_deploy import BY_SECRET, KEY, LEAST, SECRET, USERS, WITH_EVERYTHING, create

ALIASED = ("SendBatchFunction", "SesEventsFunction")

# Other values of each parameter; a list has some that leave a function as it is.
OTHERS = {
    "DatabaseUrl": ["postgres://u:q@db.example.com/crm", "postgres://u:p@other.example.com/crm"],
    "DatabaseSecretArn": [SECRET.replace("crm", "other")],
    "DatabaseSecretKeyArn": [KEY],
    "DatabaseIamUserArn": [USERS["send-batch"], USERS["ses-events"]],
    "SesEventsDatabaseUrl": ["postgres://u:q@db.example.com/crm", LEAST["DatabaseUrl"], BY_SECRET["DatabaseUrl"]],
    "SesEventsDatabaseSecretArn": [SECRET, SECRET.replace("crm", "other")],
    "SesEventsDatabaseIamUserArn": [USERS["ses-events"], USERS["unsubscribe"]],
    "UnsubscribeDatabaseUrl": ["postgres://u:q@db.example.com/crm"],
    "UnsubscribeDatabaseSecretArn": [SECRET],
    "UnsubscribeDatabaseIamUserArn": [USERS["unsubscribe"]],
    "ActivitiesTable": ["timeline", "crm.timeline"],
    "SubnetIds": ["subnet-3", "subnet-3,subnet-4"],
    "SecurityGroupIds": ["sg-3", "sg-3,sg-4"],
    "SesIdentities": ["other.example", "*"],
    "ConfigurationSet": ["other"],
    "CampaignConfigurationSets": ["autumn", "autumn,winter"],
    "TrackingDomain": ["links.example.com"],
    "EventDelivery": ["SNS", "EventBridge"],
    "MaxSendRate": ["1", "50"],
    "SendApi": ["auto", "bulk", "single"],
    "SendConcurrency": ["1", "51"],
    "UnsubscribeUrl": ["https://other.example.com/u"],
    "UnsubscribeSecretArn": [SECRET.replace("crm", "links")],
    "UnsubscribeSecretKeyArn": [KEY],
    "UnsubscribeMailto": ["stop@example.com"],
    "UnsubscribeConcurrency": ["0", "20"],
    "UncertainPolicy": ["hold", "resend"],
    "UncertainAfterSeconds": ["60"],
    "GuardMaxBounceRate": ["0.2"],
    "GuardMaxComplaintRate": ["0.2"],
    "GuardMinSample": ["7"],
    "GuardNoFeedbackDomains": ["none"],
    "ScheduleState": ["ENABLED", "DISABLED"],
    "BatchSize": ["7"],
    "MemorySize": ["128"],
    "Timeout": ["30"],
    "SendBatchConcurrency": ["0", "7"],
    "AlarmEmail": ["a@example.com"],
    "NoticeEventBus": ["other"],
    "LogLevel": ["INFO", "DEBUG", "TRACE"],
    "LogRetention": ["7"],
    "KmsKeyArn": [KEY, KEY.replace("0a", "0b")],
    "PermissionsBoundaryArn": [f"arn:aws:iam::{ACCOUNT}:policy/other"],
    "TrafficShift": ["Canary10Percent5Minutes", "Linear10PercentEvery1Minute"],
    "Revision": ["2", "3"],
}


TEMPLATE = cloudformation.read()


def packaged(key="code-1"):
    """The template as `sam package` leaves it: the key of an object is a hash of its content."""
    template = copy.deepcopy(TEMPLATE)
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = f"s3://bucket/{key}"
        elif resource["Type"] == "AWS::Serverless::StateMachine":
            resource["Properties"]["DefinitionUri"] = "s3://bucket/machine"
    return template


def references_resolved(part, values):
    """What the least that AWS documents of the language extensions leaves: parameters resolved, and no conditions."""
    if isinstance(part, dict):
        if set(part) == {"Ref"} and part["Ref"] in values:
            return values[part["Ref"]]
        return {name: references_resolved(value, values) for name, value in part.items()}
    return [references_resolved(value, values) for value in part] if isinstance(part, list) else part


def versions(template):
    """The logical id of each function's version in a template after both transforms."""
    found = [name for name, resource in template["Resources"].items() if resource["Type"] == "AWS::Lambda::Version"]
    return {function: next(name for name in found if name.startswith(function)) for function in ALIASED}


def configurations(template):
    """What a version of each function keeps; Lambda does not compare the rest when it publishes one."""
    for function in ALIASED:
        kept = copy.deepcopy(template["Resources"][function]["Properties"])
        for name in ("ReservedConcurrentExecutions", "Tags", "Role"):
            kept.pop(name, None)
        yield function, kept


def stack(parameters, key="code-1"):
    """The configurations of the functions, and the ids of their versions by either reading of the extensions."""
    declared = packaged(key)
    declared["Resources"] = {name: declared["Resources"][name] for name in ALIASED}
    values = cloudformation.values(declared, parameters)
    resolved = cloudformation.translated(cloudformation.extended(declared, parameters), values)
    declared["Resources"] = references_resolved(declared["Resources"], values)
    by_references = cloudformation.translated(declared, values)
    return dict(configurations(resolved)), versions(resolved), versions(by_references)


BASES = {"least": LEAST, "by secret": BY_SECRET, "everything": WITH_EVERYTHING}


@pytest.fixture(scope="module", params=BASES)
def base(request):
    parameters = BASES[request.param]
    return parameters, stack(parameters)


def test_other_values_of_every_parameter_are_tried():
    assert set(OTHERS) == set(TEMPLATE["Parameters"])


def test_a_version_is_published_if_a_setting_changes_and_only_then(base):
    parameters, (configuration, *ids) = base
    published = set()
    for name, value in [(name, value) for name, values in OTHERS.items() for value in values]:
        with_other = {**parameters, name: value}
        if cloudformation.problems(TEMPLATE, with_other):
            continue
        changed, *changed_ids = stack(with_other)
        for function in ALIASED:
            differs = changed[function] != configuration[function]
            for before, after in zip(ids, changed_ids):
                assert (after[function] != before[function]) == differs, (function, name, value)
            if differs:
                published.add(name)
    assert {"MaxSendRate", "DatabaseUrl", "Timeout", "KmsKeyArn", "LogLevel", "Revision"} <= published
    assert not {"AlarmEmail", "ScheduleState", "LogRetention", "SesIdentities", "TrafficShift"} & published


def test_a_version_is_published_if_the_code_changes(base):
    parameters, (_, *ids) = base
    _, *changed = stack(parameters, key="code-2")
    for before, after in zip(ids, changed):
        assert all(after[function] != before[function] for function in ALIASED)
    assert list(stack(parameters)[1:]) == ids, "the same again is no change"


def test_the_language_extensions_are_given_what_they_can_resolve():
    template = TEMPLATE
    assert template["Transform"] == ["AWS::LanguageExtensions", "AWS::Serverless-2016-10-31"]
    # They resolve nothing in Globals, and refuse a DependsOn that names what SAM makes later.
    assert "{" not in str(template["Globals"]["Function"].values())
    for name, resource in template["Resources"].items():
        assert resource.get("DependsOn") in (None, *template["Resources"]), name


def test_everything_invokes_the_aliases():
    resources = cloudformation.translated(packaged(), LEAST)["Resources"]
    alias = {"Ref": "SendBatchFunctionAliaslive"}
    machine = resources["CampaignStateMachine"]["Properties"]
    assert machine["DefinitionSubstitutions"]["SendBatchFunctionArn"] == alias
    statements = resources["CampaignStateMachineRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    assert [found["Resource"] for found in statements if found.get("Sid") == "SendBatch"] == [alias]
    assert resources["SesEventsFunctionQueue"]["Properties"]["FunctionName"] == {"Ref": "SesEventsFunctionAliaslive"}
    assert resources["SendBatchFunctionEventInvokeConfig"]["Properties"]["Qualifier"] == "live"
    # The address of links that were sent must not change, so the function that they lead to has no alias.
    assert "Qualifier" not in resources["UnsubscribeFunctionUrl"]["Properties"]


@pytest.mark.parametrize("shift", ["Canary10Percent5Minutes", "Canary10Percent15Minutes", "Linear10PercentEvery1Minute"])
def test_traffic_moves_gradually_and_back_at_an_alarm(shift):
    parameters = {**LEAST, "TrafficShift": shift}
    assert cloudformation.problems(TEMPLATE, parameters) == []
    resources = cloudformation.translated(packaged(), parameters)["Resources"]
    for function in ALIASED:
        group = resources[f"{function}DeploymentGroup"]["Properties"]
        assert group["DeploymentConfigName"] == {"Fn::Sub": ["CodeDeployDefault.Lambda${ConfigName}", {"ConfigName": shift}]}
        alarm = f"{function.removesuffix('Function')}ErrorsAlarm"
        assert group["AlarmConfiguration"] == {"Enabled": True, "Alarms": [{"Name": {"Ref": alarm}}]}
        assert resources[alarm]["Properties"]["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": function}}]
        role = ["ShiftsTraffic", {"Fn::GetAtt": ["TrafficShiftRole", "Arn"]}, {"Ref": "AWS::NoValue"}]
        assert group["ServiceRoleArn"] == {"Fn::If": role}
        policy = resources[f"{function}Aliaslive"]["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
        assert policy["DeploymentGroupName"] == {"Ref": f"{function}DeploymentGroup"}
    assert "CodeDeployServiceRole" not in resources, "SAM's own would have no permissions boundary"


def test_without_a_shift_nothing_of_codedeploy_is_made():
    resources = cloudformation.translated(packaged(), LEAST)["Resources"]
    assert not [name for name, found in resources.items() if found["Type"].startswith("AWS::CodeDeploy::")]
    assert "UpdatePolicy" not in resources["SendBatchFunctionAliaslive"]


def test_the_aliases_point_to_published_versions(account):
    create(account, "aliased", LEAST)
    functions = account("lambda")
    for name in ("send-batch", "ses-events"):
        alias = functions.get_alias(FunctionName=f"aliased-{name}", Name="live")
        assert alias["AliasArn"] == f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:aliased-{name}:live"
        published = functions.list_versions_by_function(FunctionName=f"aliased-{name}")["Versions"]
        assert alias["FunctionVersion"] in {found["Version"] for found in published} - {"$LATEST"}
